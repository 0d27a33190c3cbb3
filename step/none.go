//go:build !steps

package step

// As says which command this process runs: the first part of its steps' names.
func As(string) {}

// Change marks a change to the world: here before it, and where the function that
// it returns is called, after it.
func Change(string) func() { return func() {} }

// Environment is what a process of podrun passes on to one that it starts with an
// environment of its own, so that their steps are counted together.
func Environment() []string { return nil }
