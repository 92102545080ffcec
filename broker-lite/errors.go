package brokerlite

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrPortInUse: another process listens on a port that was asked for.
var ErrPortInUse = errors.New("port is in use")

// listenError says which server could not listen, and what to do about it.
func listenError(what, addr, remedy string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %w: another process listens on %s; stop it, or choose another port: %s", what, ErrPortInUse, addr, remedy)
	}
	return fmt.Errorf("%s: cannot listen on %s: %w", what, addr, err)
}
