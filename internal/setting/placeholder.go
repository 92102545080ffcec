package setting

import (
	"fmt"
	"strings"
)

// Lookup finds the value of a placeholder's key.
type Lookup = func(key string) (value string, ok bool)

// HasPlaceholder reports whether a text has anything to expand.
func HasPlaceholder(s string) bool { return strings.Contains(s, "${") }

// Expand replaces ${key} and ${key:default} in s. A key that lookup does not know
// takes the default; without one it is an error.
func Expand(s string, lookup Lookup) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		inner, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("placeholder ${%s has no closing brace; write ${key} or ${key:default}", rest)
		}
		value, err := resolve(inner, lookup)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		s = after
	}
}

func resolve(inner string, lookup Lookup) (string, error) {
	key, fallback, hasFallback := strings.Cut(inner, ":")
	if key = strings.TrimSpace(key); key == "" {
		return "", fmt.Errorf("placeholder ${%s} has no key; write ${key} or ${key:default}", inner)
	}
	if strings.Contains(inner, "${") {
		return "", fmt.Errorf("placeholder ${%s} has another one in it, which is not looked up; write one after the other, or a default without", inner)
	}
	if lookup != nil {
		if value, ok := lookup(key); ok {
			return value, nil
		}
	}
	switch {
	case hasFallback:
		return fallback, nil
	case lookup == nil:
		return "", fmt.Errorf("placeholder ${%s} cannot be looked up; pass the option Placeholders, or write ${%s:default}", key, key)
	}
	return "", fmt.Errorf("placeholder ${%s} has no value and no default; set it, or write ${%s:default}", key, key)
}
