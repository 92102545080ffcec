package native

import (
	"net"
	"net/netip"
)

// localAddr is this machine's address as it goes into ids: the first that is
// not loopback, IPv4 before IPv6. It need not be reachable.
func localAddr() netip.Addr {
	found := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return found // a machine without a network still has clients
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		if !ok || !ip.Unmap().IsGlobalUnicast() {
			continue
		}
		if ip = ip.Unmap(); ip.Is4() {
			return ip
		}
		if found.IsLoopback() {
			found = ip
		}
	}
	return found
}
