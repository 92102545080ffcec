package sqlfilter

import (
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// javaInteger reads s as Java's Integer.valueOf (bits 32) and Long.valueOf (64)
// do: an optional sign and decimal digits of any script, nothing around them.
func javaInteger(s []byte, bits uint) (int64, bool) {
	negative := false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	if len(s) == 0 {
		return 0, false
	}
	limit := uint64(1)<<(bits-1) - 1
	if negative {
		limit++
	}
	var n uint64
	for len(s) > 0 {
		d, size := uint64(s[0]-'0'), 1
		if d > 9 {
			var ok bool
			if d, size, ok = foreignDigit(s); !ok {
				return 0, false
			}
		}
		if n > (limit-d)/10 {
			return 0, false
		}
		n, s = n*10+d, s[size:]
	}
	if negative {
		return -int64(n), true // of 1<<63 too, which is its own negative
	}
	return int64(n), true
}

// foreignDigit reads a digit that is not ASCII, as Character.digit does: one of
// Unicode's decimal digits in the basic plane, which come in tens.
func foreignDigit(s []byte) (d uint64, size int, ok bool) {
	if s[0] < utf8.RuneSelf {
		return 0, 0, false
	}
	r, size := utf8.DecodeRune(s)
	for _, ten := range unicode.Nd.R16 {
		if rune(ten.Lo) <= r && r <= rune(ten.Hi) {
			return uint64(r-rune(ten.Lo)) % 10, size, true
		}
	}
	return 0, 0, false
}

// javaDouble reads s as Java's Double.valueOf does: white space and control
// characters around it, NaN and Infinity, hexadecimal floats, a type suffix.
// What is too large is infinite.
func javaDouble(s []byte) (float64, bool) {
	for len(s) > 0 && s[0] <= ' ' {
		s = s[1:]
	}
	for len(s) > 0 && s[len(s)-1] <= ' ' {
		s = s[:len(s)-1]
	}
	unsigned, negative := s, false
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		unsigned, negative = s[1:], s[0] == '-'
	}
	switch string(unsigned) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		if negative {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	}
	n := floatSyntax(unsigned)
	switch len(unsigned) - n {
	case 0:
	case 1:
		if c := unsigned[n] | 0x20; c != 'f' && c != 'd' {
			return 0, false
		}
		s = s[:len(s)-1]
	default:
		return 0, false
	}
	if n == 0 {
		return 0, false
	}
	d, _ := strconv.ParseFloat(string(s), 64) // the syntax is right: an error says out of range, and d is infinite
	return d, true
}

// floatSyntax answers the length of the floating-point number that s begins with,
// without a sign and a type suffix, or 0.
func floatSyntax(s []byte) int {
	if len(s) > 1 && s[0] == '0' && s[1]|0x20 == 'x' {
		return hexFloatSyntax(s)
	}
	n := digits(s)
	count := n
	if n < len(s) && s[n] == '.' {
		fraction := digits(s[n+1:])
		n += 1 + fraction
		count += fraction
	}
	if count == 0 {
		return 0
	}
	return n + exponent(s[n:])
}

// hexFloatSyntax: 0x1.8p3, whose exponent is not optional.
func hexFloatSyntax(s []byte) int {
	n := 2
	whole := hexDigits(s[n:])
	count := whole
	n += whole
	if n < len(s) && s[n] == '.' {
		fraction := hexDigits(s[n+1:])
		count += fraction
		n += 1 + fraction
	}
	if count == 0 || n == len(s) || s[n]|0x20 != 'p' {
		return 0
	}
	n++
	if n < len(s) && (s[n] == '+' || s[n] == '-') {
		n++
	}
	d := digits(s[n:])
	if d == 0 {
		return 0
	}
	return n + d
}

func hexDigits(s []byte) int {
	n := 0
	for n < len(s) && (isDigit(s[n]) || 'a' <= s[n]|0x20 && s[n]|0x20 <= 'f') {
		n++
	}
	return n
}

// compareDoubles is Java's Double.compareTo: -0 is less than 0, and NaN is equal
// to itself and greater than anything else.
func compareDoubles(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return sign(b) - sign(a)
	case a != a && b != b:
		return 0
	case a != a:
		return 1
	}
	return -1
}

func sign(d float64) int {
	if math.Signbit(d) {
		return 1
	}
	return 0
}
