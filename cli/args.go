package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// intersperse moves the flags of a command before its arguments, so that
// `podrun logs web -f` means what it means to kubectl; the flag parser below
// stops at the first argument. What follows "--" stays as it is.
func intersperse(program *cli.App, args []string) []string {
	if len(args) < 2 {
		return args
	}
	out := args[:1:1]
	rest := args[1:]
	flags, commands := program.Flags, program.Commands
	for {
		taken := leadingFlags(flags, rest)
		out, rest = append(out, rest[:taken]...), rest[taken:]
		if len(rest) == 0 {
			return out
		}
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(rest[0]) })
		if i < 0 {
			break
		}
		out, rest = append(out, rest[0]), rest[1:]
		flags, commands = commands[i].Flags, commands[i].Subcommands
		if len(commands) == 0 {
			return append(out, partition(flags, rest)...)
		}
	}
	return append(out, rest...)
}

// leadingFlags counts the words of args that are flags and their values.
func leadingFlags(flags []cli.Flag, args []string) int {
	i := 0
	for i < len(args) && isFlag(args[i]) && args[i] != "--" {
		i += width(flags, args[i])
	}
	return min(i, len(args))
}

// partition puts the flags in args first, then "--", then the rest.
func partition(flags []cli.Flag, args []string) []string {
	var front, back []string
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
		end := min(i+width(flags, args[i]), len(args))
		front = append(front, args[i:end]...)
		i = end
	}
	if len(back) > 0 {
		front = append(append(front, "--"), back...)
	}
	return front
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
