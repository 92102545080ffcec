package nearest

import "strings"

// longest is where names are cut: none is that long.
const longest = 128

// To is the candidate that takes the fewest edits to reach from name, letter case
// aside, and no more than a third of its own length; the first of several. "" is none.
func To(name string, candidates []string) string {
	best, least := "", -1
	for _, c := range candidates {
		if d := Distance(strings.ToLower(name), strings.ToLower(c)); least < 0 || d < least {
			best, least = c, d
		}
	}
	if least > (len(best)+2)/3 {
		return ""
	}
	return best
}

// Distance counts the letters to change, add, drop or swap with their neighbour to get
// from a to b.
func Distance(a, b string) int {
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now := make([]int, len(b)+1)
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last = last, now
	}
	return last[len(b)]
}
