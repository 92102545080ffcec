package acl

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// sendRequest is a send as Java clients make it, with a body of n bytes.
func sendRequest(n int) *protocol.Command {
	cmd := request(310, "a=pay_group", "b=t", "c=TBW102", "d=4", "e=1", "f=0", "g=1700000000000", "h=0",
		"i=KEYS\x01order-4711\x02UNIQ_KEY\x017F00000100002A139A5500000000\x02WAIT\x01true\x02TAGS\x01tag1\x02", "j=0", "k=false", "m=false", "n=broker-a")
	return signedBy(userKey, withBody(cmd, strings.Repeat("x", n)))
}

func benchmarkRules(t testing.TB) *Rules {
	return parse(t, "globalWhiteRemoteAddresses: [10.1.2.*, '2001:db8:*']\n"+userRules("topicPerms: [t=PUB|SUB]", "groupPerms: [g=SUB]"))
}

func BenchmarkCheck(b *testing.B) {
	rules := benchmarkRules(b)
	for name, n := range map[string]int{"0 B": 0, "1 KiB": 1 << 10, "64 KiB": 64 << 10} {
		b.Run(name, func(b *testing.B) {
			cmd := sendRequest(n)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				if err := rules.Check(elsewhere, cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("white-listed", func(b *testing.B) {
		cmd, white := sendRequest(1024), netip.MustParseAddr("10.1.2.3")
		b.ReportAllocs()
		for b.Loop() {
			if err := rules.Check(white, cmd); err != nil {
				b.Fatal(err)
			}
		}
	})
}
