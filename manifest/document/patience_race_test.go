//go:build race

package document

import "time"

const patience = 2 * time.Minute
