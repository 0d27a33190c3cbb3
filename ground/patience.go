package ground

import (
	"os"
	"strconv"
	"time"
)

// patienceVariable is by how much longer than they say the tests wait for what has to come:
// an emulated machine is slow. It changes nothing of podrun's own times.
const patienceVariable = "PODRUN_TEST_PATIENCE"

var factor = func() time.Duration {
	n, err := strconv.Atoi(os.Getenv(patienceVariable))
	if err != nil || n < 1 {
		return 1
	}
	return time.Duration(n)
}()

// Patience is how long to wait on this machine for what has to come within d.
func Patience(d time.Duration) time.Duration { return factor * d }
