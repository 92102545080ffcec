// Package alarm runs a function when the earliest of the moments that it was
// told about has come. The broker's states use it for everything that expires
// or is saved later: nothing wakes up while there is nothing to wait for, and
// once a minute towards a moment of the wall clock, which may jump, so that hours of
// virtual time cost next to nothing under testing/synctest.
package alarm
