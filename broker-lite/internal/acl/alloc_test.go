//go:build !race

package acl

import (
	"net/netip"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Not with the race detector: it lets a sync.Pool lose what is put into it.
func TestAnAllowedRequestAllocatesNothing(t *testing.T) {
	rules := benchmarkRules(t)
	white := netip.MustParseAddr("10.1.2.3")
	for name, cmd := range map[string]*protocol.Command{
		"send":  sendRequest(1024),
		"pull":  signedBy(userKey, request(11, "consumerGroup=g", "topic=t")),
		"retry": signedBy(userKey, request(310, "b=%RETRY%g")),
	} {
		for where, remote := range map[string]netip.Addr{"signed": elsewhere, "white-listed": white} {
			allocs := testing.AllocsPerRun(200, func() {
				if err := rules.Check(remote, cmd); err != nil {
					t.Fatal(err)
				}
			})
			if allocs >= 1 { // the pool may be emptied by a collection
				t.Errorf("%s, %s: %v allocations", name, where, allocs)
			}
		}
	}
}
