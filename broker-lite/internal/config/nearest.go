package config

import "strings"

// onlyApache reports whether name is a key of Apache RocketMQ that broker-lite
// has no use for.
func onlyApache(name string) bool {
	for known := range strings.FieldsSeq(apacheKeys) {
		if known == name {
			return true
		}
	}
	return false
}

// nearest finds the known key that takes the fewest edits to reach, letter case
// aside, and no more than a third of the name's length; keys that broker-lite acts
// on win ties. "" is none.
func nearest(name string) string {
	best, least := "", -1
	consider := func(candidate string) {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); least < 0 || d < least {
			best, least = candidate, d
		}
	}
	for _, k := range keys() {
		consider(k.name)
	}
	for known := range strings.FieldsSeq(apacheKeys) {
		consider(known)
	}
	if least > max(2, len(name)/3) {
		return ""
	}
	return best
}

// distance is the edit distance of two words. Words beyond 128 bytes are cut:
// no key is that long.
func distance(a, b string) int {
	a, b = a[:min(len(a), 128)], b[:min(len(b), 128)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
