//go:build race

package monitor

// A monitor says where tests look that there was a race in it.
func init() { inherited = append(inherited, "GORACE") }
