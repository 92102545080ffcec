// Package sqlfilter is the SQL92 message filter: it compiles a subscription's
// expression once and matches the properties of messages against it, as Apache's
// rocketmq-filter 5.4.0 does.
//
//	expr, err := sqlfilter.Compile("amount > 10 AND region IN ('eu', 'us')")
//	… expr.Match(record.Properties) …
//
// # Language
//
//	or         = and { OR and }
//	and        = equality { AND equality }
//	equality   = comparison { ("=" | "<>") comparison | IS [NOT] NULL }
//	comparison = unary { (">" | ">=" | "<" | "<=") unary
//	                   | [NOT] BETWEEN unary AND unary
//	                   | [NOT] IN "(" string { "," string } ")"
//	                   | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) string }
//	unary      = ("+" | "-" | NOT) unary | primary
//	primary    = string | integer | float | TRUE | FALSE | NULL | name | "(" or ")"
//
// Keywords are of any case; names are of ASCII letters, digits, "_" and "$", and
// their case matters. A string is in single quotes, and one inside it is doubled. An
// integer is decimal, of 64 bits, and may end in L. Comments are /* … */, and --
// up to the end of a line that has an end.
//
// # Peculiarities of Apache's, kept
//
//   - An expression ends where the grammar ends it. What follows is never read, so
//     "a LIKE 'x%'" is the expression "a"; [Expr.Ignored] tells it.
//   - NOT binds tighter than a comparison: NOT a = 1 is (NOT a) = 1.
//   - Every property is a string. Beside an integer it is read as one of 32 bits, or
//     of 64 when the literal needs them, so "5.5" > 5 fails; beside a float it is
//     read as Java's Double.valueOf does. Two properties are ordered as floats, and
//     equal as strings.
//   - A value that cannot be read so fails the expression, which then does not match,
//     whatever NOT or OR are around it; only what AND and OR do not evaluate does not
//     fail.
//   - A property alone is false, or unknown when it is missing, and never true. A
//     property = TRUE when it holds "true"; TRUE = property fails when it is there.
//   - A missing property makes a comparison unknown, but as the right side of "=" it
//     makes it false (and "<>" true), and two missing ones are equal. CONTAINS and
//     its relatives are false then, with NOT as well, as they are for an empty string.
//   - There is no literal 0.0: it is refused, as are floats that do not fit a double.
//     BETWEEN two literals in the wrong order is refused, NOT BETWEEN is not.
//
// # Versions
//
// The filters of 4.9.7 and 5.4.0 differ in CONTAINS, STARTSWITH and ENDSWITH only.
// To 4.9.7 these are names like any other, so that "a CONTAINS 'x'" is the
// expression "a" there, which is never true. Here they are keywords.
//
// # What differs from Apache
//
//   - An expression is at most [MaxLength] bytes long and [MaxDepth] operators deep,
//     with 2·MaxDepth signs, NOTs and parentheses inside each other. Apache's limit
//     is the stack of its Java threads, beyond which it refuses, or never matches.
//   - A property whose bytes are not UTF-8 is compared as it is; Java compares it
//     with each wrong sequence replaced by U+FFFD.
//   - A number of more than five digits of exponent is 0 or infinite whatever its
//     mantissa.
//
// # Cost
//
// Compile takes time and memory proportional to the expression. Match reads the
// properties once and evaluates each operator at most once; it allocates nothing
// for expressions of up to eight names, except that it copies a floating-point
// number of more than 32 characters. An [Expr] never changes, so any number of
// goroutines may use it.
package sqlfilter
