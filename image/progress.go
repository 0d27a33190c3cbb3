package image

import v1 "github.com/google/go-containerregistry/pkg/v1"

// Stage is where a layer is on its way.
type Stage int

// The stages of a layer, in their order; Waiting is left out where no other
// process works on the layer, all but Present where the layer is in the store.
const (
	StageWaiting     Stage = iota // another process is making the layer
	StageDownloading              // it is downloaded and unpacked
	StageDone                     // it is in place
	StagePresent                  // it was there
)

// Event is a step of one layer.
type Event struct {
	Layer string // the layer's digest
	Stage Stage
	// Done and Total are compressed bytes, given in StageDownloading.
	Done, Total int64
}

// Progress is told of each event, by several goroutines at once, and must
// return soon. The zero value is told nothing.
type Progress func(Event)

// layer returns what tells p of one layer.
func (p Progress) layer(digest v1.Hash) func(Stage, int64, int64) {
	if p == nil {
		return func(Stage, int64, int64) {}
	}
	return func(s Stage, done, total int64) {
		p(Event{Layer: digest.String(), Stage: s, Done: done, Total: total})
	}
}
