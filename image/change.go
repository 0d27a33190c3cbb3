package image

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// applyChange changes an image config by one Dockerfile instruction. Variables
// in it are not expanded: there is no build whose variables they could be.
func applyChange(c *v1.Config, change string) error {
	instruction, args, _ := strings.Cut(strings.TrimSpace(change), " ")
	args = strings.TrimSpace(args)
	if args == "" {
		return fmt.Errorf("change %q: want an instruction and its value, such as 'CMD [\"sh\"]'", change)
	}
	var err error
	switch strings.ToUpper(instruction) {
	case "CMD":
		c.Cmd, err = command(args)
	case "ENTRYPOINT":
		c.Entrypoint, err = command(args)
	case "ENV":
		err = setEnv(c, args)
	case "USER":
		c.User = args
	case "WORKDIR":
		c.WorkingDir = path.Clean(path.Join("/", absoluteTo(c.WorkingDir, args)))
	case "STOPSIGNAL":
		c.StopSignal, err = stopSignal(args)
	case "VOLUME":
		err = addVolumes(c, args)
	default:
		err = fmt.Errorf("unknown instruction; want CMD, ENTRYPOINT, ENV, USER, WORKDIR, STOPSIGNAL or VOLUME")
	}
	if err != nil {
		return fmt.Errorf("change %q: %w", change, err)
	}
	return nil
}

func absoluteTo(dir, p string) string {
	if path.IsAbs(p) {
		return p
	}
	return path.Join(dir, p)
}

// command reads the exec form, a JSON array, or else the shell form.
func command(args string) ([]string, error) {
	if !strings.HasPrefix(args, "[") {
		return []string{"/bin/sh", "-c", args}, nil
	}
	return jsonWords(args)
}

func jsonWords(args string) ([]string, error) {
	var words []string
	if err := json.Unmarshal([]byte(args), &words); err != nil {
		return nil, fmt.Errorf("read JSON array of strings (double quotes are needed): %w", err)
	}
	return words, nil
}

// setEnv reads KEY=VALUE..., or the old form KEY VALUE.
func setEnv(c *v1.Config, args string) error {
	words, err := splitWords(args)
	if err != nil {
		return err
	}
	if !strings.Contains(words[0], "=") {
		_, value, found := strings.Cut(args, " ")
		if !found {
			return fmt.Errorf("want KEY=VALUE")
		}
		words = []string{words[0] + "=" + strings.TrimSpace(value)}
	}
	for _, word := range words {
		key, _, found := strings.Cut(word, "=")
		if !found || key == "" {
			return fmt.Errorf("%q is not KEY=VALUE", word)
		}
		c.Env = replaceEnv(c.Env, key, word)
	}
	return nil
}

func replaceEnv(env []string, key, entry string) []string {
	for i, e := range env {
		if strings.HasPrefix(e, key+"=") {
			env[i] = entry
			return env
		}
	}
	return append(env, entry)
}

// splitWords splits at blanks, with the quotes and backslashes of a Dockerfile.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	escaped, inWord := false, false
	for _, r := range s {
		switch {
		case escaped:
			if quote == '"' && r != '"' && r != '\\' && r != '$' {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, inWord = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// stopSignal takes a number or a name with or without SIG.
func stopSignal(s string) (string, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return "", fmt.Errorf("signals are 1 to 64")
		}
		return s, nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if unix.SignalNum(name) == 0 && !strings.HasPrefix(name, "SIGRTM") {
		return "", fmt.Errorf("no such signal")
	}
	return name, nil
}

func addVolumes(c *v1.Config, args string) error {
	words := strings.Fields(args)
	if strings.HasPrefix(args, "[") {
		var err error
		if words, err = jsonWords(args); err != nil {
			return err
		}
	}
	for _, word := range words {
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		c.Volumes[word] = struct{}{}
	}
	return nil
}
