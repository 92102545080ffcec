package apache

import (
	"errors"
	"fmt"
)

// Reason says which part of the tool chain is missing.
type Reason string

// What an [UnavailableError] can lack.
const (
	NoJava  Reason = "no JDK 11 or newer (java and javac)"
	NoMaven Reason = "no mvn to resolve the jars with"
	NoJars  Reason = "the jars of Apache RocketMQ cannot be resolved"
)

// UnavailableError says why Apache RocketMQ cannot run on this machine.
type UnavailableError struct {
	Reason Reason
	Err    error // the cause, may be nil
}

func (e *UnavailableError) Error() string {
	if e.Err == nil {
		return "apache: " + string(e.Reason)
	}
	return fmt.Sprintf("apache: %s: %v", e.Reason, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// ErrStopped is returned when a process ended before it was ready.
var ErrStopped = errors.New("apache: process ended")
