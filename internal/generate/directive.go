package generate

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// prefix of all directives. As with Go's own there is no space before it.
const prefix = "//rocketmq:"

// Names of directives.
const (
	listener    = "listener"
	dlq         = "dlq"
	transaction = "transaction"
	wireSet     = "wire"
)

// directive is one line above a handler.
type directive struct {
	name string
	args []arg
}

type arg struct{ key, value string }

// value returns the value of a key.
func (d *directive) value(key string) (string, bool) {
	for _, a := range d.args {
		if a.key == key {
			return a.value, true
		}
	}
	return "", false
}

// parseDirective reads a comment that begins with the prefix.
func parseDirective(text string) (*directive, []error) {
	rest := strings.TrimPrefix(text, prefix)
	name, rest, _ := strings.Cut(rest, " ")
	d := &directive{name: strings.TrimSpace(name)}
	var errs []error
	for {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		if rest == "" {
			return d, errs
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r == '=' || unicode.IsSpace(r) })
		if end <= 0 || rest[end] != '=' {
			return d, append(errs, fmt.Errorf("it is not read from `%s` on; write key=value pairs, with quotes around a value that has spaces", rest))
		}
		key := rest[:end]
		value, after, err := parseValue(rest[end+1:])
		if err != nil {
			return d, append(errs, fmt.Errorf("%s: %w", key, err))
		}
		if _, twice := d.value(key); twice {
			errs = append(errs, fmt.Errorf("%s is given twice; remove one", key))
		} else {
			d.args = append(d.args, arg{key, value})
		}
		rest = after
	}
}

// parseValue reads a bare or quoted value at the start of a text.
func parseValue(text string) (value, rest string, err error) {
	if text != "" && (text[0] == '"' || text[0] == '`') {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", fmt.Errorf("the quotes of %s are not closed", text)
		}
		rest = text[len(quoted):]
		if rest != "" && !unicode.IsSpace(rune(rest[0])) {
			return "", "", fmt.Errorf("there is no space after %s", quoted)
		}
		value, err = strconv.Unquote(quoted)
		return value, rest, err
	}
	end := strings.IndexFunc(text, unicode.IsSpace)
	if end < 0 {
		end = len(text)
	}
	if value = text[:end]; strings.ContainsAny(value, "\"`") {
		return "", "", fmt.Errorf("%s has quotes inside; quote the whole value", value)
	}
	return value, text[end:], nil
}
