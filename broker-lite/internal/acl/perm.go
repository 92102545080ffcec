package acl

import (
	"fmt"
	"strings"
)

// Perm is what an account may do with a topic or group, in Apache's bits.
type Perm uint8

// Deny is the zero value: what is not allowed is denied.
const (
	Deny   Perm = 0
	Pub    Perm = 1 << 2
	Sub    Perm = 1 << 3
	PubSub      = Pub | Sub
)

func (p Perm) String() string {
	switch p {
	case Deny:
		return "DENY"
	case Pub:
		return "PUB"
	case Sub:
		return "SUB"
	case PubSub:
		return "PUB|SUB"
	}
	return fmt.Sprintf("permission %d", uint8(p))
}

// has reports whether an account with p may do what needs one of needed.
func (p Perm) has(needed Perm) bool { return p&needed != 0 }

const permRemedy = "write DENY, PUB, SUB or PUB|SUB"

// parsePerm reads the five words that Apache knows. It reads every other as DENY;
// here ok is false.
func parsePerm(s string) (p Perm, ok bool) {
	switch trimJava(s) {
	case "DENY":
		return Deny, true
	case "PUB":
		return Pub, true
	case "SUB":
		return Sub, true
	case "PUB|SUB", "SUB|PUB":
		return PubSub, true
	}
	return Deny, false
}

// trimJava is Java's String.trim.
func trimJava(s string) string { return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) }
