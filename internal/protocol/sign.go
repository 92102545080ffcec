package protocol

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"hash"
	"slices"
	"strings"
	"sync"
)

// Names of the fields that a signed request carries.
const (
	fieldAccessKey     = "AccessKey"
	fieldSecurityToken = "SecurityToken"
	fieldSignature     = "Signature"
)

// Signer signs requests for servers with ACL, as Java's AclClientRPCHook does: the
// signature is base64(HMAC-SHA1(secret key, content)), the content the values of the
// header's fields in the order of their names, and then the body. It may be used by
// several goroutines.
type Signer struct {
	accessKey, token string
	macs             sync.Pool // of *mac, keyed with the secret key
}

// NewSigner makes a Signer. token may be "".
func NewSigner(accessKey, secretKey, token string) *Signer {
	s := &Signer{accessKey: accessKey, token: token}
	key := []byte(secretKey)
	s.macs.New = func() any { return &mac{hash: hmac.New(sha1.New, key)} }
	return s
}

// mac is what one signature is made with. It is used again, so that signing allocates
// nothing.
type mac struct {
	hash hash.Hash
	sum  [sha1.Size]byte
	text [28]byte // base64 of sum
}

// noted is a field that was written: its value is noted[from:to] of the FieldWriter.
type noted struct {
	key      string
	from, to int
}

// notes are the fields that a FieldWriter writes, as they were before the codec made
// them into something else.
type notes struct {
	on     bool
	fields []noted
	values []byte
}

// mostNoted bounds what is kept of a large header.
const mostNoted = 64 << 10

func (n *notes) begin() {
	n.on = true
	n.fields, n.values = n.fields[:0], n.values[:0]
}

// end lets go of the request.
func (n *notes) end() {
	n.on = false
	clear(n.fields)
	if cap(n.values) > mostNoted {
		n.values = nil
	}
}

// note keeps a field for the signature; false: it must not be written. Java reads an
// empty value of the binary codec as null, and would sign the word "null" for it.
func note[T string | []byte](w *FieldWriter, key string, value T) bool {
	if len(value) == 0 && w.codec == Binary {
		return false
	}
	from := len(w.notes.values)
	w.notes.values = append(w.notes.values, value...)
	w.notes.fields = append(w.notes.fields, noted{key, from, len(w.notes.values)})
	return true
}

// sign appends the fields of s and the signature over all that was written. Names are
// ASCII and occur once.
func (w *FieldWriter) sign(s *Signer, body [][]byte) {
	w.String(fieldAccessKey, s.accessKey)
	w.OptString(fieldSecurityToken, s.token)
	m := s.macs.Get().(*mac)
	defer s.macs.Put(m)
	m.hash.Reset()
	slices.SortFunc(w.notes.fields, func(a, b noted) int { return strings.Compare(a.key, b.key) })
	for _, f := range w.notes.fields {
		m.hash.Write(w.notes.values[f.from:f.to]) // a hash's Write returns no error
	}
	for _, b := range body {
		m.hash.Write(b)
	}
	base64.StdEncoding.Encode(m.text[:], m.hash.Sum(m.sum[:0]))
	w.Bytes(fieldSignature, m.text[:])
}
