// Package alarm runs a function when the earliest of the moments that it was
// told about has come. The broker's states use it for everything that expires
// or is saved later: nothing wakes up while there is nothing to wait for, so
// that hours of virtual time cost nothing under testing/synctest.
package alarm
