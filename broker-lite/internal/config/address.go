package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Interface is a network card as far as the choice of an address needs it.
type Interface struct {
	Name         string
	Index        int
	Up           bool
	Loopback     bool
	PointToPoint bool
	Bridge       bool // such as docker0
	Addrs        []netip.Addr
}

// Interfaces lists the machine's network cards.
func Interfaces() ([]Interface, error) {
	cards, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network cards: %w", err)
	}
	var list []Interface
	for _, card := range cards {
		addrs, err := card.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of network card %s: %w", card.Name, err)
		}
		i := Interface{
			Name: card.Name, Index: card.Index,
			Up: card.Flags&net.FlagUp != 0, Loopback: card.Flags&net.FlagLoopback != 0,
			PointToPoint: card.Flags&net.FlagPointToPoint != 0, Bridge: bridge(card.Name),
		}
		for _, a := range addrs {
			if ipnet, ok := a.(*net.IPNet); ok {
				if addr, ok := netip.AddrFromSlice(ipnet.IP); ok {
					i.Addrs = append(i.Addrs, addr.Unmap())
				}
			}
		}
		list = append(list, i)
	}
	return list, nil
}

func bridge(name string) bool {
	if runtime.GOOS != "linux" {
		return false
	}
	_, err := os.Stat("/sys/class/net/" + name + "/bridge")
	return err == nil
}

// Advertise chooses the host that clients are told to dial: brokerIP1; else the
// bound address when it is one address; else, of the network cards, as Apache's
// NetworkUtil does, IPv4 before IPv6 and public before private, the card with
// the lowest index winning. Bridges, point-to-point links and cards that are
// down do not count. The warning is not empty when there was more than one
// candidate or none, and names the choice, the candidates and the key.
func (c *Config) Advertise(cards []Interface) (host, warning string) {
	if c.BrokerIP1 != "" {
		return c.BrokerIP1, ""
	}
	if bound, err := netip.ParseAddr(c.BindAddress); err == nil && !bound.IsUnspecified() {
		return c.BindAddress, ""
	}
	found := candidates(cards)
	if len(found) == 0 {
		return "127.0.0.1", "no network card has an address that others can dial; the broker advertises 127.0.0.1, which only this machine reaches (set brokerIP1 to change it)"
	}
	chosen := found[0].addr.String()
	if len(found) == 1 {
		return chosen, ""
	}
	var names []string
	for _, f := range found {
		names = append(names, fmt.Sprintf("%s (%s)", f.addr, f.card))
	}
	return chosen, fmt.Sprintf("several network addresses: %s; the broker advertises %s, and clients that cannot reach it will fail: set brokerIP1 to the address they are to dial", strings.Join(names, ", "), names[0])
}

type candidate struct {
	addr  netip.Addr
	card  string
	index int
}

// candidates are the dialable addresses of one family, best first: all IPv4
// ones, or all IPv6 ones when there is no IPv4.
func candidates(cards []Interface) []candidate {
	var v4, v6 []candidate
	for _, card := range cards {
		if !card.Up || card.Loopback || card.PointToPoint || card.Bridge {
			continue
		}
		for _, addr := range card.Addrs {
			if addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast() {
				continue
			}
			f := candidate{addr: addr, card: card.Name, index: card.Index}
			if addr.Is4() {
				v4 = append(v4, f)
			} else {
				v6 = append(v6, f)
			}
		}
	}
	found := v4
	if len(v4) == 0 {
		found = v6
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(private(a.addr)-private(b.addr), a.index-b.index, a.addr.Compare(b.addr))
	})
	return found
}

func private(a netip.Addr) int {
	if a.IsPrivate() {
		return 1
	}
	return 0
}
