package acl

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"slices"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	fieldUniqueKeyQuery = "_UNIQUE_KEY_QUERY"
	// The last version whose clients add _UNIQUE_KEY_QUERY after signing
	// (MQVersion.V4_9_3's ordinal).
	versionV4_9_3 = 399
)

// verifier is what one check of a signature works with. It is used again, so that a
// check allocates nothing.
type verifier struct {
	mac     hash.Hash
	fields  []protocol.Field
	content []byte
	sum     [sha1.Size]byte
	text    [28]byte // base64 of sum
}

func newVerifier(secretKey []byte) *verifier { return &verifier{mac: hmac.New(sha1.New, secretKey)} }

// signed reports whether the request carries the account's signature, in constant time
// as far as the signature goes.
func (a *account) signed(cmd *protocol.Command) bool {
	signature, ok := cmd.Fields.Get(FieldSignature)
	if !ok || len(signature) != base64.StdEncoding.EncodedLen(sha1.Size) {
		return false
	}
	v := a.verifiers.Get().(*verifier)
	defer a.verifiers.Put(v)
	return v.verify(cmd, signature)
}

// verify tries the content as a client of that version signs it, and then what other
// clients are known to leave out.
func (v *verifier) verify(cmd *protocol.Command, signature string) bool {
	v.sort(cmd.Fields)
	defer v.forget()
	token, unique := false, false
	for i := range v.fields {
		token = token || v.fields[i].Key == FieldSecurityToken
		unique = unique || v.fields[i].Key == fieldUniqueKeyQuery
	}
	leaveOut := unique && cmd.Version <= versionV4_9_3
	if v.matches(cmd.Body, signature, false, leaveOut) || token && v.matches(cmd.Body, signature, true, leaveOut) {
		return true
	}
	if !unique || leaveOut {
		return false
	}
	return v.matches(cmd.Body, signature, false, true) || token && v.matches(cmd.Body, signature, true, true)
}

// sort fills v.fields: each name once, with the value that counts, in the order of Java's
// strings. Java's binary codec may write a field twice.
func (v *verifier) sort(fields protocol.Fields) {
	v.fields = append(v.fields[:0], fields...)
	slices.SortStableFunc(v.fields, func(a, b protocol.Field) int { return compareJava(a.Key, b.Key) })
	kept := v.fields[:0]
	for i, f := range v.fields {
		if f.Key == FieldSignature || i+1 < len(v.fields) && v.fields[i+1].Key == f.Key {
			continue // the last one of a name counts
		}
		kept = append(kept, f)
	}
	clear(v.fields[len(kept):])
	v.fields = kept
}

// mostKept bounds what a pooled verifier keeps of a large header.
const mostKept = 16 << 10

// forget lets go of the request's strings.
func (v *verifier) forget() {
	clear(v.fields)
	v.fields = v.fields[:0]
	if cap(v.content) > mostKept {
		v.content = nil
	}
}

// matches computes one signature and compares it.
func (v *verifier) matches(body []byte, signature string, withoutToken, withoutUnique bool) bool {
	v.content = v.content[:0]
	for i := range v.fields {
		f := &v.fields[i]
		if withoutToken && f.Key == FieldSecurityToken || withoutUnique && f.Key == fieldUniqueKeyQuery {
			continue
		}
		v.content = append(v.content, f.Value...)
	}
	v.mac.Reset()
	v.mac.Write(v.content) // a hash's Write returns no error
	v.mac.Write(body)
	base64.StdEncoding.Encode(v.text[:], v.mac.Sum(v.sum[:0]))
	v.content = append(v.content[:0], signature...)
	return subtle.ConstantTimeCompare(v.text[:], v.content) == 1
}

// compareJava compares as Java's String.compareTo: by UTF-16 code units, in which
// characters beyond U+FFFF come before U+E000 and those after it.
func compareJava(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xEE && y >= 0xEE { // first bytes of U+E000 and on: four-byte ones sort first
			fourX, fourY := x >= 0xF0, y >= 0xF0
			if fourX != fourY {
				if fourX {
					return -1
				}
				return 1
			}
		}
		return cmp.Compare(x, y)
	}
	return cmp.Compare(len(a), len(b))
}
