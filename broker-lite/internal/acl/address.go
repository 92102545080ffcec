package acl

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Pattern is one white-listed address pattern. The zero value matches nothing.
type Pattern struct {
	all   bool
	addrs []netip.Addr // any of these, or:
	// the first groups of an address (bytes of IPv4, 16 bits of IPv6), and the range
	// of the group that follows; what comes after is free. hi 0: no range.
	head   []uint16
	lo, hi uint16
	v6     bool
}

// Match reports whether the pattern has addr, which is neither mapped IPv4 nor has a
// zone. The zero Addr is in "*" only.
func (p *Pattern) Match(addr netip.Addr) bool {
	if p.all {
		return true
	}
	for i := range p.addrs {
		if p.addrs[i] == addr {
			return true
		}
	}
	if p.hi == 0 || !addr.IsValid() || p.v6 != addr.Is6() {
		return false
	}
	groups, n := groupsOf(addr)
	if len(p.head) >= n {
		return false
	}
	for i, g := range p.head {
		if groups[i] != g {
			return false
		}
	}
	g := groups[len(p.head)]
	return g >= p.lo && g <= p.hi
}

func groupsOf(addr netip.Addr) (groups [8]uint16, n int) {
	if addr.Is4() {
		for i, b := range addr.As4() {
			groups[i] = uint16(b)
		}
		return groups, 4
	}
	b := addr.As16()
	for i := range groups {
		groups[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return groups, 8
}

// PatternError says why a white-listed address pattern is refused.
type PatternError struct {
	Pattern, Problem, Remedy string
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("address pattern %q %s; %s", clip(e.Pattern), e.Problem, e.Remedy)
}

const patternForms = "write one address, a list \"a,b\", *, 10.1.2.*, 10.1.*.*, 10.1.2.3-9, 10.1.2.{3,4}, 2001:db8:*, 2001:db8::1-ff or 2001:db8::{1,2}"

// ParsePattern reads a pattern as Apache 4.9.7 does. Where Apache takes one that can
// match no address, or fails on when it is used, this is a [*PatternError]:
//
//	(blank)                     nothing
//	*  *.*.*.*  *:*:*:*:*:*:*:* everything
//	10.1.2.3  2001:db8::1       that address
//	10.1.2.3,2001:db8::1        each of them
//	10.1.2.{3,4}  2001:db8::{1,2}
//	10.1.2.*  10.1.2.3-9        a range in the second to fourth place; 4.9.7 does not
//	                            look at what comes after it, so that is to be * here
//	2001:db8:*  2001:db8::5:1-ff  2001:db8:1-5:*
//	                            a range in the last place (before *); with fewer than
//	                            eight groups and no "::" it matches a prefix
//
// Ranges have both ends, hexadecimal in IPv6, and do not end at 0. Before a range "::"
// stands for as many zero groups as make the last group before it the seventh (before
// a range and * the sixth), but "a::*" is a:0:*, as Apache reads it.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case strings.TrimSpace(s) == "":
		return Pattern{}, nil
	case s == "*" || s == "*.*.*.*" || s == "*:*:*:*:*:*:*:*":
		return Pattern{all: true}, nil
	case strings.HasSuffix(s, "}"):
		return parseBraces(s)
	case strings.Contains(s, ","):
		return parseList(s, "", strings.Split(s, ","))
	case !strings.ContainsAny(s, "*-"):
		return parseList(s, "", []string{s})
	case strings.Contains(s, ":"):
		return parseRange6(s)
	}
	return parseRange4(s)
}

func refuse(pattern, problem string, args ...any) (Pattern, error) {
	return Pattern{}, &PatternError{pattern, fmt.Sprintf(problem, args...), patternForms}
}

// parseBraces reads 10.1.2.{3,4}: the braces are the last place.
func parseBraces(s string) (Pattern, error) {
	prefix, last, _ := strings.Cut(s, "{")
	if prefix == "" || strings.Contains(last, "{") || prefix[len(prefix)-1] != '.' && prefix[len(prefix)-1] != ':' {
		return refuse(s, "has braces that are not the whole last place")
	}
	return parseList(s, prefix, strings.Split(last[:len(last)-1], ","))
}

// parseList reads addresses that are written out.
func parseList(pattern, prefix string, parts []string) (Pattern, error) {
	p := Pattern{addrs: make([]netip.Addr, 0, len(parts))}
	for _, part := range parts {
		addr, err := netip.ParseAddr(prefix + part)
		switch {
		case part == "":
			return refuse(pattern, "has an empty entry")
		case err != nil && strings.Contains(part, "/"):
			return refuse(pattern, "has a prefix length, which Apache does not know")
		case err != nil:
			return refuse(pattern, "has %q, which is no IP address", clip(prefix+part))
		case addr.Zone() != "" || addr.Is4In6() || addr.Is6() && strings.Contains(prefix+part, "."):
			return refuse(pattern, "has %q, which no client's address is equal to (no zones, no IPv4 inside IPv6)", clip(prefix+part))
		}
		p.addrs = append(p.addrs, addr)
	}
	return p, nil
}

// parseRange reads "*" or "3-9" as a group of the base up to most; ok is false when s is
// neither.
func parseRange(s string, base int, most uint16) (lo, hi uint16, ok bool) {
	if s == "*" {
		return 0, most, true
	}
	from, to, found := strings.Cut(s, "-")
	if !found {
		return 0, 0, false
	}
	a, errA := strconv.ParseUint(from, base, 16)
	b, errB := strconv.ParseUint(to, base, 16)
	if errA != nil || errB != nil || a > b || b > uint64(most) || b == 0 {
		return 0, 0, false
	}
	return uint16(a), uint16(b), true
}

// parseRange4 reads 10.1.2.*, 10.1.2.3-9, 10.1.*.*, 10.3-9.*.*.
func parseRange4(s string) (Pattern, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return refuse(s, "has %d places, an IPv4 address has 4", len(parts))
	}
	var p Pattern
	for i, part := range parts {
		part = trimJava(part)
		if p.hi != 0 {
			if part != "*" {
				return refuse(s, "has %q after the range, where Apache takes anything", clip(part))
			}
			continue
		}
		if lo, hi, ok := parseRange(part, 10, 255); ok && i > 0 {
			p.lo, p.hi = lo, hi
			continue
		}
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil || part != strconv.FormatUint(n, 10) {
			return refuse(s, "has %q in place %d, which is no number from 0 to 255%s", clip(part), i+1, orRange(i > 0))
		}
		p.head = append(p.head, uint16(n))
	}
	return p, nil
}

func orRange(may bool) string {
	if may {
		return " and no range that ends above 0"
	}
	return ""
}

// parseRange6 reads what stands before the range, without "::" as a prefix and with it
// filled up to the range's place.
func parseRange6(s string) (Pattern, error) {
	p := Pattern{v6: true}
	cut := strings.LastIndexByte(s, ':')
	before, last := s[:cut], s[cut+1:]
	places := 7
	lo, hi, ok := parseRange(last, 16, 0xffff)
	if i := strings.LastIndexByte(before, ':'); ok && last == "*" && i >= 0 && strings.Contains(before[i:], "-") {
		lo, hi, ok = parseRange(before[i+1:], 16, 0xffff)
		before, places = before[:i], 6
	}
	if !ok {
		return refuse(s, "has a range that is not in the last place (before *), has no end, or ends at 0")
	}
	p.lo, p.hi = lo, hi
	switch {
	case strings.Trim(before, ":") == "":
		return refuse(s, "has nothing before its range")
	case strings.Contains(s, ":::"), strings.Count(s, "::") > 1:
		return refuse(s, "has colons that belong to no address")
	}
	groups, ok := expand6(before, places)
	if !ok {
		return refuse(s, "has no 1 to %d groups of up to 4 hexadecimal digits before its range", places)
	}
	p.head = groups
	return p, nil
}

// expand6 reads groups, with "::" for as many zeros as make them places, and an empty
// last one ("a::*" without "*" and its colon) for one zero.
func expand6(s string, places int) ([]uint16, bool) {
	left, right, compressed := strings.Cut(s, "::")
	var groups []uint16
	ok := appendGroups(&groups, left)
	if compressed {
		var tail []uint16
		ok = ok && appendGroups(&tail, right)
		zeros := places - len(groups) - len(tail)
		if zeros < 1 {
			return nil, false
		}
		groups = append(append(groups, make([]uint16, zeros)...), tail...)
	}
	return groups, ok && len(groups) <= places
}

func appendGroups(groups *[]uint16, s string) bool {
	if s == "" {
		return true
	}
	parts := strings.Split(s, ":")
	for i, part := range parts {
		if part == "" && i == len(parts)-1 && i > 0 {
			part = "0"
		}
		n, err := strconv.ParseUint(part, 16, 16)
		if err != nil || len(part) > 4 {
			return false
		}
		*groups = append(*groups, uint16(n))
	}
	return true
}
