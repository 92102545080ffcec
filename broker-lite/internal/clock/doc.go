// Package clock is the time that delays, timers, transaction checks and retention
// go by. It is the system's, or one that a test moves by hand. Liveness
// (heartbeats, registrations, long polls) does not use it: package time does.
package clock
