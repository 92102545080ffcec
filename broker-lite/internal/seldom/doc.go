// Package seldom keeps a log readable whatever peers do: of each kind of warning some
// lines a minute are written, and then how many were left out. Errors, which are the
// server's own, are all written.
package seldom
