package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size int64

// units in the order that String tries them.
func units() []unit {
	return []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}
}

type unit struct {
	name  string
	bytes int64
}

// ParseSize reads a number of bytes: "4MiB", "64 KiB", "4MB" (a million bytes
// each), "512B" or a bare number of bytes.
func ParseSize(text string) (Size, error) {
	s := strings.TrimSpace(text)
	factor := int64(1)
	for _, u := range units() {
		if n := len(s) - len(u.name); n > 0 && strings.EqualFold(s[n:], u.name) {
			s, factor = strings.TrimSpace(s[:n]), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("size %q: want a whole number and B, KiB, MiB, GiB, KB, MB or GB, such as 4MiB", text)
	}
	if n < 0 || n > (1<<63-1)/factor {
		return 0, fmt.Errorf("size %q is out of range", text)
	}
	return Size(n * factor), nil
}

// String is the size in the largest unit that fits it, such as 4MiB.
func (s Size) String() string {
	for _, u := range units() {
		if n := int64(s); n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// UnmarshalText reads a size as ParseSize does.
func (s *Size) UnmarshalText(b []byte) error {
	n, err := ParseSize(string(b))
	if err == nil {
		*s = n
	}
	return err
}

// MarshalText is String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
