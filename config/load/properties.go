package load

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// properties reads Java's .properties files for viper (java.util.Properties.load):
// comments with # and !, a trailing backslash continues a line, keys end at =, :
// or white space, and \t \n \r \f \uXXXX and \ before anything else escape.
type properties struct{}

// Decode implements viper.Decoder.
func (properties) Decode(b []byte, into map[string]any) error {
	for number, line := range logicalLines(string(b)) {
		if line == "" {
			continue
		}
		end, valueAt := splitProperty(line)
		key, err := unescape(line[:end])
		if err != nil {
			return fmt.Errorf("line %d: %w", number+1, err)
		}
		value, err := unescape(line[valueAt:])
		if err != nil {
			return fmt.Errorf("line %d: %w", number+1, err)
		}
		into[key] = value
	}
	return nil
}

// Encode implements viper.Encoder, which a codec has to be.
func (properties) Encode(map[string]any) ([]byte, error) {
	return nil, errors.New("properties are only read")
}

// errNoHex does not say where in the line, which may hold a secret.
var errNoHex = errors.New(`\u wants four hex digits`)

const blank = " \t\f"

// logicalLines joins continued lines and empties comments. Each stays at the
// number of its first line.
func logicalLines(text string) []string {
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	out := make([]string, len(lines))
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], blank)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "!") {
			continue
		}
		first := i
		for continues(line) {
			line = line[:len(line)-1]
			if i++; i == len(lines) {
				break
			}
			line += strings.TrimLeft(lines[i], blank)
		}
		out[first] = line
	}
	return out
}

// continues reports an odd number of backslashes at the end.
func continues(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty finds the end of the key and the start of the value.
func splitProperty(line string) (keyEnd, valueAt int) {
	for keyEnd < len(line) && !strings.ContainsRune("=: \t\f", rune(line[keyEnd])) {
		if line[keyEnd] == '\\' {
			keyEnd++
		}
		keyEnd++
	}
	keyEnd = min(keyEnd, len(line))
	rest := strings.TrimLeft(line[keyEnd:], blank)
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], blank)
	}
	return keyEnd, len(line) - len(rest)
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i == len(s)-1 {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			r, ok := unit(s[i:])
			if !ok {
				return "", errNoHex
			}
			i += 4
			if next, ok := strings.CutPrefix(s[i+1:], `\`); ok {
				low, _ := unit(next)
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					r, i = pair, i+len(`\uXXXX`)
				}
			}
			b.WriteRune(r)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// unit reads uXXXX, half of a character beyond U+FFFF.
func unit(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:5], 16, 16)
	return rune(n), err == nil
}
