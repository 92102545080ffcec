// Package nearest finds the name that a slip of the pen most likely means, for errors
// that suggest it.
package nearest
