package logs

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"podrun/step"
)

// The kubelet's defaults, containerLogMaxSize and containerLogMaxFiles.
const (
	DefaultMaxBytes = 10 << 20
	DefaultMaxFiles = 5
)

// retryPause is the time between two attempts to write to a log that cannot be written.
const retryPause = time.Second

// Options say how a log is kept. The zero value means the kubelet's defaults.
type Options struct {
	MaxBytes int64 // of one file, before it is rotated
	MaxFiles int   // of one attempt, the current one included; at least 2
	// Stalled is told, if set, the first time that the log cannot be written (the disk is full), and with nil when it can
	// again. Meanwhile nothing is dropped: the container blocks once its pipe is full. It must not block.
	Stalled func(error)
	// Tap is given, if set, all output as it comes, with the begin of a line that is not written yet. It must not keep the
	// bytes; while it blocks, so does the log.
	Tap func(Stream, []byte)
}

// Writer writes the output of one attempt of a container to its log. Another Writer, in another process, can go on where
// one was killed; two must never be at work on one log.
type Writer struct {
	path    string
	options Options

	mu       sync.Mutex // held while a batch is on its way from a stage to the file
	position *Position
	file     *os.File

	settled chan struct{} // closed when what an earlier writer left is done
	owed    Stream        // whose stage that is in, until then

	stopping chan struct{}
	stop     sync.Once
	entry    sync.Mutex // guards the closing of stopping, and copies until then
	copies   sync.WaitGroup
	sources  sourceSet
}

// NewWriter opens the log at path, <directory>/<n>.log, and makes it and its directories if they are not there. A
// position that another log used last is taken over; a log without one goes on at its end. The position must stay mapped
// until the Writer is closed.
func NewWriter(path string, position *Position, o Options) (*Writer, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = DefaultMaxFiles
	}
	o.MaxFiles = max(o.MaxFiles, 2)
	w := &Writer{path: path, options: o, position: position, settled: make(chan struct{}), stopping: make(chan struct{})}
	at := position.load()
	if owner := hashPath(path); at.owner != owner {
		end, err := endOf(path)
		if err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		at = place{owner: owner, offset: end}
		position.store(at)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	if at.phase == rotating {
		if err := w.rotate(); err != nil {
			return nil, err
		}
	} else if err := w.open(); err != nil {
		return nil, err
	}
	if at.phase == writing || at.phase == draining {
		w.owed = Stream(at.stream)
	} else {
		close(w.settled)
	}
	return w, nil
}

// endOf is where a log goes on that is there already, 0 where none is. A line that a
// power cut has torn is ended first: what comes next would become a part of it.
func endOf(path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) // see open
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], info.Size()-1); err != nil || last[0] == '\n' {
		return info.Size(), err
	}
	_, err = f.WriteAt([]byte{'\n'}, info.Size())
	return info.Size() + 1, err
}

// hashPath identifies a log in a position. It is never 0, which means that a slot was not used yet.
func hashPath(path string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(path))
	return h.Sum64() | 1
}

// Close ends all Copy calls and closes the log. What they have not written stays in the pipes.
func (w *Writer) Close() error {
	w.entry.Lock()
	w.stop.Do(func() { close(w.stopping) })
	w.entry.Unlock()
	w.sources.interrupt()
	w.copies.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.file.Close()
}

// Copy writes a stream to the log until its end: until no process holds the write end of p.Source and all of it is
// written. A last line without a newline becomes a P record, as containerd writes it. After a kill Copy must be called
// for both streams again, in any order, as one may have to wait for what the other left. It blocks no thread while it
// waits. os.ErrClosed means that the Writer was closed before the end.
func (w *Writer) Copy(stream Stream, p Pipes) error {
	if !w.enter() {
		return os.ErrClosed
	}
	defer w.copies.Done()
	defer runtime.KeepAlive(p)
	var source *os.File
	err := w.retry(func() (err error) {
		source, err = w.sources.add(p.Source)
		return err
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", stream, err)
	}
	defer w.sources.remove(source)
	st := stage{read: int(p.StageRead.Fd()), write: int(p.StageWrite.Fd())}
	if err := w.settle(stream, st); err != nil {
		return fmt.Errorf("copy %s: %w", stream, err)
	}
	conn, err := source.SyscallConn()
	if err != nil {
		return fmt.Errorf("copy %s: %w", stream, err)
	}
	var pumpErr error
	err = conn.Read(func(fd uintptr) bool {
		var ended bool
		ended, pumpErr = w.pump(int(fd), stream, st)
		return ended || pumpErr != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) { // set by Close
		err = os.ErrClosed
	}
	if err = errors.Join(pumpErr, err); err != nil {
		return fmt.Errorf("copy %s: %w", stream, err)
	}
	return nil
}

// enter counts a Copy, unless Close has been called: it waits for those that are counted.
func (w *Writer) enter() bool {
	w.entry.Lock()
	defer w.entry.Unlock()
	select {
	case <-w.stopping:
		return false
	default:
		w.copies.Add(1)
		return true
	}
}

// settle finishes the batch that an earlier writer has begun, or waits for the stream that has it.
func (w *Writer) settle(stream Stream, st stage) error {
	select {
	case <-w.settled:
		return nil
	default:
	}
	if stream != w.owed {
		select {
		case <-w.settled:
			return nil
		case <-w.stopping:
			return os.ErrClosed
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := w.takeScratch()
	if err != nil {
		return err
	}
	if err := w.resume(s, stream, st); err != nil {
		s.close()
		return err
	}
	s.giveBack()
	close(w.settled)
	return nil
}

// resume does the rest of a batch, by the phase in which its writer was killed.
func (w *Writer) resume(s *scratch, stream Stream, st stage) error {
	at := w.position.load()
	if at.phase == draining {
		return w.drain(s, st, at)
	}
	src, err := s.peek(st, int(at.bytes))
	if err != nil {
		return err
	}
	out, used := s.format(src, stream, time.Unix(0, at.time), true)
	if int64(used) != at.bytes {
		return fmt.Errorf("resume log %s: stage holds %d of %d bytes", w.path, used, at.bytes)
	}
	return w.commit(s, st, out)
}

// pump writes what the source has, until it is empty or has ended.
func (w *Writer) pump(source int, stream Stream, st stage) (ended bool, err error) {
	s, err := w.takeScratch()
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			s.close()
		} else {
			s.giveBack()
		}
	}()
	for {
		select {
		case <-w.stopping:
			return false, os.ErrClosed
		default:
		}
		empty, ended, err := w.round(s, source, stream, st)
		if err != nil || empty || ended {
			return ended, err
		}
	}
}

// round moves output into the stage and writes one batch of it. empty says that there is nothing to do until the source
// is readable; what is then left in the stage is a line that goes on.
func (w *Writer) round(s *scratch, source int, stream Stream, st stage) (empty, ended bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	held, err := st.held()
	if err != nil {
		return false, false, err
	}
	found := filledSome
	if held < batchSize {
		done := step.Change("fill stage")
		if found, err = st.fill(source, batchSize-held); err != nil {
			return false, false, err
		}
		done()
	}
	src, err := s.peek(st, batchSize)
	if err != nil {
		return false, false, err
	}
	if w.options.Tap != nil && len(src) > held {
		w.options.Tap(stream, src[held:])
	}
	used, err := w.batch(s, src, stream, st, found == sourceEnded || found == stageCrowded)
	if err != nil || used > 0 { // there may be more in the stage
		return false, false, err
	}
	return found == sourceEmpty, found == sourceEnded, nil
}

// batch writes as much of src, the begin of the stage, as makes one batch.
func (w *Writer) batch(s *scratch, src []byte, stream Stream, st stage, flush bool) (used int, err error) {
	at := w.position.load()
	now := stampAfter(at.time, time.Now().UnixNano())
	out, used := s.format(src, stream, time.Unix(0, now), flush)
	if used == 0 {
		return 0, nil
	}
	if at.offset > 0 && at.offset+int64(len(out)) > w.options.MaxBytes {
		if err := w.retry(w.rotate); err != nil {
			return 0, err
		}
		at = w.position.load()
	}
	at.phase, at.stream, at.bytes, at.time = writing, uint32(stream), int64(used), now
	w.position.store(at)
	return used, w.commit(s, st, out)
}

// commit does the phases of a batch from writing on: out are the records of the bytes that the position names.
func (w *Writer) commit(s *scratch, st stage, out []byte) error {
	err := w.retry(func() error {
		offset, err := w.locate()
		if err != nil {
			return err
		}
		done := step.Change("write log")
		_, err = w.file.WriteAt(out, offset)
		done()
		return err
	})
	if err != nil {
		return err
	}
	held, err := st.held()
	if err != nil {
		return err
	}
	at := w.position.load()
	at.phase = draining
	at.offset += int64(len(out))
	at.bytes = int64(held) - at.bytes
	w.position.store(at)
	return w.drain(s, st, at)
}

// drain empties the stage down to what was not written, and ends the batch.
func (w *Writer) drain(s *scratch, st stage, at place) error {
	done := step.Change("drain stage")
	if err := st.drain(int(s.null.Fd()), int(at.bytes)); err != nil {
		return err
	}
	done()
	at.phase, at.bytes = idle, 0
	w.position.store(at)
	return nil
}

// locate returns where to write in the file. Somebody may have emptied or removed it since; a log goes on then with the
// next record, as a file opened for appending would.
func (w *Writer) locate() (int64, error) {
	var stat unix.Stat_t // os.File.Stat would leave garbage for every batch
	if err := unix.Fstat(int(w.file.Fd()), &stat); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	at := w.position.load()
	if stat.Nlink == 0 {
		if err := os.MkdirAll(filepath.Dir(w.path), 0o755); err != nil {
			return 0, err
		}
		if err := w.open(); err != nil {
			return 0, err
		}
		stat.Size = 0
	}
	if stat.Size < at.offset {
		at.offset = stat.Size
		w.position.store(at)
	}
	return at.offset, nil
}

// open opens the current file, and makes it if it is not there. A link in its place is
// no log: who may write to the directory of logs must not have the machine's files
// written.
func (w *Writer) open() error {
	defer step.Change("open log")()
	file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if w.file != nil {
		w.file.Close()
	}
	w.file = file
	return nil
}
