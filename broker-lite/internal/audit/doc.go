// Package audit logs what operators change, at a broker or a name server: a line
// "admin change" for each change that is not refused, with the request's name, where
// it came from, and what it says.
package audit
