package manifest

import (
	"fmt"
	"strings"
	"testing"
)

func TestEnvFile(t *testing.T) {
	for _, tc := range []struct{ why, file, want, wantErr string }{
		{"plain", "A='a'\nK='v'\n", "v", ""},
		{"no line end", "K='v'", "v", ""},
		{"the first one", "K='v'\nK='w'", "v", ""},
		{"not there", "A='a'\n", "", ""},
		{"empty file", "", "", ""},
		{"empty value", "K=''\n", "", ""},
		{"blanks, comments, indentation", "\n \t\n# K='x'\n \tK='v'\n", "v", ""},
		{"comment after the value", "K='v' # why", "v", ""},
		{"nothing is special inside", `K=' $(A) "\n # = '`, ` $(A) "\n # = `, ""},
		{"several lines", "A='K='\nK='one\n\n # two\nthree'\n", "one\n\n # two\nthree", ""},
		{"a value over several lines of another", "A='\nK=no\n'\nK='v'", "v", ""},
		{"a blank makes it empty, as in a shell", "K= 'v'\n", "", ""},
		{"a name with a blank inside, as upstream", "A B='v'\nK='v'", "v", ""},
		{"what follows is not read", "K='v'\nrubbish\n", "v", ""},
		{"a name is the whole name", "KK='w'\nK='v'", "v", ""},
		{"carriage returns go with the line end", "A='a'\r\nK='v'\r\n", "v", ""},

		{"no assignment", "rubbish\nK='v'", "", "invalid environment variable format at line 1: missing '='"},
		{"no name", "\n='v'", "", "invalid environment variable format at line 2: empty variable name"},
		{"blank before the sign", "K ='v'", "", "invalid environment variable format at line 1: whitespace before '=' is not allowed"},
		{"bare", "K=v", "", "invalid environment variable format at line 1: value must be enclosed in single quotes"},
		{"double quotes", `K="v"`, "", "invalid environment variable format at line 1: value must be enclosed in single quotes"},
		{"bare, of another", "A=a\nK='v'", "", "invalid environment variable format at line 1: value must be enclosed in single quotes"},
		{"text after the quote", "K='it''s'", "", "invalid environment variable format at line 1: unexpected content after closing quote"},
		{"text after the last quote", "A='\n'x", "", "invalid environment variable format at line 2: unexpected content after closing quote"},
		{"never closed", "\nK='v\nw\n", "", "invalid environment variable format starting at line 2: unclosed single quote"},
		{"a line longer than the scanner takes", "K='" + strings.Repeat("x", 70<<10) + "'", "", "bufio.Scanner: token too long"},
		{"a value that no memory need hold", "K='" + strings.Repeat("x\n", 100<<10), "", "the value is longer than a variable can be"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			got, err := envFile(strings.NewReader(tc.file), "K")
			message := ""
			if err != nil {
				message = err.Error()
			}
			if got != tc.want || message != tc.wantErr {
				t.Errorf("got %q and %q, want %q and %q", got, message, tc.want, tc.wantErr)
			}
		})
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add("a", "b")
	f.Add("it's", "\n#\n")
	f.Fuzz(func(t *testing.T, value, before string) {
		envFile(strings.NewReader(before), "K") // any bytes are read to an end
		if strings.ContainsAny(value, "'\r") || len(value) > 1000 {
			return // a quote ends the value, and a line end loses its carriage return
		}
		got, err := envFile(strings.NewReader(fmt.Sprintf("# c\nA='%s'\nK='%s' # c", value, value)), "K")
		if err != nil || got != value {
			t.Errorf("got %q, %v, want %q", got, err, value)
		}
	})
}
