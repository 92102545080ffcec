// Package codec turns values into message bodies and back.
//
// [Text] takes strings and bytes as they are, [JSON] everything that
// encoding/json can, [Raw] bytes only. [For] chooses one for a type the way
// consumers do when none is named: the body as it is for strings and byte slices,
// JSON for the rest.
package codec
