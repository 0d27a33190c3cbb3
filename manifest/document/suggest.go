package document

import "strings"

// Suggest returns the candidate that word is most likely a misspelling of, or "" if none is near.
// A difference in case, hyphens and underscores only is always near.
func Suggest(word string, candidates []string) string {
	if len(word) > 64 { // longer than every field name and kind: a typo is not what is wrong
		return ""
	}
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, c := range candidates {
		d := distance(fold(word), fold(c))
		if d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}

// joiners are what separates words in names of other habits. It is made once: a
// manifest may have tens of thousands of unknown fields.
var joiners = strings.NewReplacer("-", "", "_", "")

func fold(s string) string { return strings.ToLower(joiners.Replace(s)) }

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	var before, last, row []int
	row = make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
