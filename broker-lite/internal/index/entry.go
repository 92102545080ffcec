package index

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// entry says that a record has a key.
type entry struct {
	hash uint64
	phys int64
	sec  uint32 // store time
}

const entrySize = 20

func (e entry) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, e.hash)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.phys))
	return binary.BigEndian.AppendUint32(dst, e.sec)
}

func decodeEntry(b []byte) entry {
	return entry{
		hash: binary.BigEndian.Uint64(b), phys: int64(binary.BigEndian.Uint64(b[8:])), sec: binary.BigEndian.Uint32(b[16:]),
	}
}

// seconds is a time in ms since 1970, as entries have it.
func seconds(ms int64) uint32 { return uint32(min(max(ms/1000, 0), math.MaxUint32)) }

// Kind says what a key is.
type Kind uint8

const (
	// ByKey is one of a message's keys, or its unique key (K and U of Apache's 5.x,
	// which look alike in the index of both versions).
	ByKey Kind = iota
	// ByTags is the whole of a message's tags (T, 5.x only).
	ByTags
)

// tagMark stands between topic and tags (MessageConst.INDEX_TAG_TYPE).
const tagMark = "T#"

// fnv-1a, 64 bits.
const (
	fnvBasis uint64 = 14695981039346656037
	fnvPrime uint64 = 1099511628211
)

func hash[T string | []byte](h uint64, s T) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

// hashTopic begins the hash of all names of a topic.
func hashTopic(topic string) uint64 { return hash(hash(fnvBasis, topic), "#") }

func hashName[T string | []byte](topic uint64, kind Kind, key T) uint64 {
	if kind == ByTags {
		topic = hash(topic, tagMark)
	}
	return hash(topic, key)
}

// appendEntries appends the entries of a record, one for each different name.
func appendEntries(dst []entry, topic uint64, r *protocol.Record) []entry {
	// IndexService leaves the records of a rollback out, of which none is stored.
	first := len(dst)
	add := func(kind Kind, key []byte) {
		e := entry{hashName(topic, kind, key), r.PhysicalOffset, seconds(r.StoreTimestamp)}
		if len(key) > 0 && !slices.Contains(dst[first:], e) {
			dst = append(dst, e)
		}
	}
	n := readNames(r.Properties)
	add(ByKey, n.unique)
	for key := range bytes.SplitSeq(n.keys, []byte{' '}) {
		if len(dst)-first > maxNames {
			break
		}
		add(ByKey, key)
	}
	add(ByTags, n.tags)
	return dst
}

// maxNames bounds the entries of one record, whose properties have room for 16,000
// keys of one letter.
const maxNames = 1 << 10

// names are the properties that are indexed.
type names struct{ unique, keys, tags []byte }

func readNames(props []byte) (n names) {
	for k, v := range protocol.EachProperty(props) {
		switch string(k) {
		case protocol.PropUniqueKey:
			n.unique = v
		case protocol.PropKeys:
			n.keys = v
		case protocol.PropTags:
			n.tags = v
		}
	}
	return n
}

// has reports whether a record has the key.
func (n names) has(kind Kind, key string) bool {
	if kind == ByTags {
		return string(n.tags) == key
	}
	if string(n.unique) == key {
		return true
	}
	for k := range bytes.SplitSeq(n.keys, []byte{' '}) {
		if string(k) == key {
			return true
		}
	}
	return false
}
