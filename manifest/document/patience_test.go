//go:build !race

package document

import "time"

// patience is how long a hostile document may take, on a machine with other things to do.
const patience = 20 * time.Second
