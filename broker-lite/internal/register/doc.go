// Package register keeps a broker registered with its name servers, ours or
// Apache's: with code 103 every 30 s, at once when topics change and when a
// name server that was lost is back, and with 104 at the end.
//
// Each name server has a goroutine of its own, so that a slow or dead one
// delays nobody. Failures are logged when they begin and when they end, not in
// between.
package register
