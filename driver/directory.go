package driver

import "context"

// Directory is a Driver that finds out its name servers' addresses: Config.NameServers
// may name endpoints that tell them.
type Directory interface {
	Driver
	// NameServers are the addresses as they are known now, host:port. It waits until
	// there are some.
	NameServers(ctx context.Context) ([]string, error)
}
