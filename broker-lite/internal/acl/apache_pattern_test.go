package acl

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strings"
	"testing"
)

// patternQuestions are patterns of every form, and the same with a character changed.
// A pattern of a documented form is taken by both; any other is either refused here, or
// taken by both; what both take matches the same addresses.
func patternQuestions(rng *rand.Rand) []question {
	var questions []question
	for i := range 2400 {
		pattern := randomPattern(rng)
		proper := i%2 == 0
		if !proper {
			pattern = mutate(rng, pattern)
		}
		var addrs []netip.Addr
		var names []string
		for range 6 {
			a := addressNear(rng, pattern)
			addrs, names = append(addrs, a), append(names, javaAddress(a))
		}
		p, err := ParsePattern(pattern)
		ours := ""
		for _, a := range addrs {
			if p.Match(a) {
				ours += "1"
			} else {
				ours += "0"
			}
		}
		line := fmt.Sprintf("P %s %s", hex.EncodeToString([]byte(pattern)), strings.Join(names, ","))
		questions = append(questions, question{line, func(t *testing.T, answer string) {
			switch {
			case proper && err != nil:
				t.Errorf("%q is refused: %v", pattern, err)
			case err == nil && answer != ours:
				t.Errorf("%q on %s: Apache %s, ours %s", pattern, names, answer, ours)
			case err != nil && !strings.HasPrefix(answer, "bad ") && strings.Contains(answer, "1") && !misread.MatchString(pattern):
				t.Errorf("%q is refused (%v), but Apache matches %s: %s", pattern, err, names, answer)
			}
		}})
	}
	return questions
}

// misread finds refused patterns that Apache takes for another one.
var misread = regexp.MustCompile(strings.Join([]string{
	`--|:::|\.\.|-$`,                      // it drops empty places and parts
	`,,|,$|\{,|,\}$`,                      // and empty entries,
	`^[^:]*\.\s*(\*|\d+-\d+)-?\s*\.`,      // what follows a range in IPv4,
	`-[^:]+:[^:]*[^:]\*$|:[^:-]*[^:-]\*$`, // what stands before * in IPv6,
	`\s$`,                                 // and a space after a range
}, "|"))

func octet(rng *rand.Rand) string { return pick(rng, "10", "1", "2", "3", "0", "25", "255") }

// group6 is not 0, so that "::" always stands for two groups or more.
func group6(rng *rand.Rand) string { return pick(rng, "2001", "db8", "DB8", "1", "a", "ffff", "5") }

func randomPattern(rng *rand.Rand) string {
	range4 := func() string { return pick(rng, "*", "1-3", "0-255", "2-2", "10-25", "03-25") }
	range6 := func() string { return pick(rng, "*", "1-5", "0-ffff", "a-DB8", "5-5") }
	v4 := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(octet(rng) + ".")
		}
		return b.String()
	}
	v6 := func(n int) string { // n groups
		g := make([]string, n)
		for i := range g {
			g[i] = group6(rng)
		}
		return strings.Join(g, ":")
	}
	short6 := func() string { return v6(1+rng.IntN(3)) + "::" + v6(1+rng.IntN(2)) }
	switch rng.IntN(14) {
	case 0:
		return pick(rng, "", " ", "*", "*.*.*.*", "*:*:*:*:*:*:*:*")
	case 1:
		return v4(3) + octet(rng)
	case 2:
		return v4(3) + octet(rng) + "," + v4(3) + octet(rng) + pick(rng, "", ","+short6())
	case 3:
		return v4(3) + "{" + octet(rng) + "," + octet(rng) + "}"
	case 4, 5:
		return v4(3) + range4()
	case 6:
		return v4(2) + range4() + ".*"
	case 7:
		return v4(1) + range4() + ".*.*"
	case 8:
		return pick(rng, short6(), v6(8))
	case 9:
		return pick(rng, short6()+":", v6(7)+":", v6(2)+"::") + "{" + group6(rng) + "," + group6(rng) + "}"
	case 10:
		return v6(1+rng.IntN(7)) + ":" + range6()
	case 11:
		return short6() + ":" + range6()
	case 12:
		return v6(1+rng.IntN(2)) + "::" + range6()
	}
	return pick(rng, short6(), v6(1+rng.IntN(6))) + ":" + pick(rng, "1-5", "a-DB8") + ":*"
}

func mutate(rng *rand.Rand, s string) string {
	b := []byte(s)
	for range 1 + rng.IntN(2) {
		i, c := rng.IntN(len(b)+1), pick[byte](rng, '0', '1', 'a', '.', ':', '*', '-', '{', '}', ',', ' ', '/', '%')
		switch {
		case i == len(b) || rng.IntN(2) == 0:
			b = append(b[:i:i], append([]byte{c}, b[i:]...)...)
		case rng.IntN(2) == 0:
			b[i] = c
		default:
			b = append(b[:i:i], b[i+1:]...)
		}
	}
	return string(b)
}

// addressNear is an address that has much in common with the pattern.
func addressNear(rng *rand.Rand, pattern string) netip.Addr {
	if !strings.Contains(pattern, ":") || rng.IntN(8) == 0 {
		var a [4]byte
		for i := range a {
			var n int
			parts := strings.Split(pattern, ".")
			if i >= len(parts) || rng.IntN(5) == 0 {
				parts = []string{octet(rng)}
			}
			if _, err := fmt.Sscan(parts[min(i, len(parts)-1)], &n); err != nil || n > 255 {
				n = rng.IntN(4)
			}
			a[i] = byte(n)
		}
		return netip.AddrFrom4(a)
	}
	left, right, _ := strings.Cut(pattern, "::")
	groups := strings.Split(strings.Trim(left, ":"), ":")
	if rest := strings.Split(strings.Trim(right, ":"), ":"); strings.Contains(pattern, "::") && rng.IntN(4) > 0 {
		zeros := max(0, 8-len(groups)-len(rest))
		groups = append(append(groups, strings.Split(strings.Repeat("0:", zeros)+"0", ":")[:zeros]...), rest...)
	}
	var a [16]byte
	for i := range 8 {
		s := pick(rng, "0", "1", group6(rng))
		if i < len(groups) && rng.IntN(8) > 0 {
			s = groups[i]
		}
		var n int
		if _, err := fmt.Sscanf(s, "%x", &n); err != nil || n > 0xffff {
			n = rng.IntN(6)
		}
		a[2*i], a[2*i+1] = byte(n>>8), byte(n)
	}
	addr := netip.AddrFrom16(a)
	if addr.Is4In6() {
		return netip.IPv6Loopback()
	}
	return addr
}

// javaAddress writes IPv6 as Java does: all groups.
func javaAddress(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	groups, n := groupsOf(a)
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("%x", groups[i])
	}
	return strings.Join(s, ":")
}
