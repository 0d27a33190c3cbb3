package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// asked puts the words that ask for help or the version elsewhere where this
// program looks for them.
func asked(args []string) []string {
	switch {
	case len(args) < 2:
	case args[1] == "help":
		return append(slices.Concat(args[:1], args[2:]), "--help")
	case args[1] == "--version":
		return append(slices.Concat(args[:1], []string{"version"}), args[2:]...)
	}
	return args
}

// filesFlag is kubectl's way to name manifests; they may be arguments as well.
func filesFlag(into *cli.StringSlice) cli.Flag {
	return &cli.StringSliceFlag{Name: "filename", Aliases: []string{"f"}, Destination: into, Usage: "`FILE`, as an argument names it; may be repeated"}
}

// named are a command's arguments, and what -f says before them.
func named(c *cli.Context, files *cli.StringSlice) []string {
	return append(files.Value(), c.Args().Slice()...)
}

// intersperse moves the flags of a command before its arguments, and those of
// the program before the command, so that `podrun logs web -f` and `podrun up
// pod.yaml -v` mean what a user of kubectl expects; the flag parser stops at the
// first argument. What follows "--" stays as it is.
func intersperse(program *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	rest := args[1:]
	taken := leadingFlags(program.Flags, rest)
	global, rest := rest[:taken:taken], rest[taken:]
	var path []string
	for commands := program.Commands; len(rest) > 0; {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[0]) })
		if i < 0 {
			break
		}
		path, rest = append(path, rest[0]), rest[1:]
		if commands[i].Subcommands == nil {
			if flag, isGlobal := incomplete(program.Flags, commands[i].Flags, rest); flag != "" {
				if isGlobal {
					path = nil
				}
				return slices.Concat(args[:1], path, []string{flag})
			}
			var hoisted []string
			rest = separate(commands[i], rest)
			hoisted, rest = partition(program.Flags, commands[i].Flags, rest)
			global = append(global, hoisted...)
			if help := leadingHelp(commands[i].Flags, rest); help != "" {
				rest = []string{help} // the parser takes a word after it for the name of a command
			}
			break
		}
		commands = commands[i].Subcommands
	}
	return slices.Concat(args[:1], global, path, rest)
}

// separate puts "--" before the words of a command that exec runs: from its
// first word on all flags are its own (`podrun exec web ls -l`).
func separate(c *cli.Command, args []string) []string {
	if c.Name != "exec" {
		return args
	}
	pod := false
	for i := 0; i < len(args) && args[i] != "--"; {
		switch {
		case isFlag(args[i]):
			i += width(c.Flags, args[i])
		case pod:
			return slices.Concat(args[:i], []string{"--"}, args[i:])
		default:
			pod = true
			i++
		}
	}
	return args
}

// leadingHelp is the flag among those before the arguments that asks for help.
func leadingHelp(flags []cli.Flag, args []string) string {
	for i := 0; i < len(args) && args[i] != "--"; i += width(flags, args[i]) {
		if args[i] == "--help" || args[i] == "-h" {
			return args[i]
		}
	}
	return ""
}

// leadingFlags counts the words of args that are flags and their values.
func leadingFlags(flags []cli.Flag, args []string) int {
	i := 0
	for i < len(args) && isFlag(args[i]) && args[i] != "--" {
		i += width(flags, args[i])
	}
	return min(i, len(args))
}

// incomplete is the last word of a command line where it is a flag without its
// value. What would follow it must not become that value: the parser is given
// nothing else, and complains.
func incomplete(program, command []cli.Flag, args []string) (flag string, isGlobal bool) {
	for i := 0; i < len(args) && args[i] != "--"; {
		if !isFlag(args[i]) {
			i++
			continue
		}
		known, global := owner(program, command, args[i])
		if i += width(known, args[i]); i > len(args) {
			return args[i-2], global
		}
	}
	return "", false
}

// owner tells whose flag a word is.
func owner(program, command []cli.Flag, word string) (known []cli.Flag, isGlobal bool) {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if find(command, name) == nil && find(program, name) != nil {
		return program, true
	}
	return command, false
}

// partition splits args into flags that only the program has, and the
// command's: its flags first, then "--", then its arguments.
func partition(program, command []cli.Flag, args []string) (global, local []string) {
	var back []string
	for i := 0; i < len(args); {
		if args[i] == "--" {
			back = append(back, args[i+1:]...)
			break
		}
		if !isFlag(args[i]) {
			back = append(back, args[i])
			i++
			continue
		}
		known, isGlobal := owner(program, command, args[i])
		end := i + width(known, args[i])
		if isGlobal {
			global = append(global, args[i:end]...)
		} else {
			local = append(local, args[i:end]...)
		}
		i = end
	}
	if len(back) > 0 {
		local = append(append(local, "--"), back...)
	}
	return global, local
}

// isFlag: a lone dash is an argument, standard input.
func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

// width is 2 where the flag's value is the next word, else 1.
func width(flags []cli.Flag, word string) int {
	name := strings.TrimLeft(word, "-")
	if strings.Contains(name, "=") {
		return 1
	}
	if !strings.HasPrefix(word, "--") && len(name) > 1 && find(flags, name) == nil {
		name = name[len(name)-1:] // -it: only the last of combined letters takes a value
	}
	f := find(flags, name)
	if f == nil {
		return 1
	}
	if _, isBool := f.(*cli.BoolFlag); isBool {
		return 1
	}
	return 2
}

func find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}
