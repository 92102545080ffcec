package brokerlite

import (
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// brokerCodes are the codes that clients, mqadmin, the dashboard and name servers ask
// of a broker.
func brokerCodes() []protocol.Code {
	return []protocol.Code{
		// Producers and consumers, and what they ask for themselves.
		10, 11, 12, 14, 15, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 41, 42, 46, 310, 320, 324, 325, 361,
		// Topics, groups, and what consumers have done.
		17, 18, 21, 200, 201, 202, 203, 204, 207, 208, 215, 222, 223, 225, 300, 303, 305, 307, 308, 309, 314, 317, 343, 345, 351, 352, 353,
		// The broker itself.
		25, 26, 28, 306, 315, 316, 321, 323, 328, 329, 905,
		// 5.x.
		370, 400, 401, 402, 513, 200050, 200051, 200052, 200053, 200054, 200055, 200151,
		// What slaves ask, and tools too.
		43, 45,
	}
}

// codesNotServed says why a code is answered with REQUEST_CODE_NOT_SUPPORTED.
func codesNotServed() map[protocol.Code]string {
	return map[protocol.Code]string{
		50: "access control is the file's, and its tools are 4.9's", 51: "as 50", 52: "as 50", 53: "as 50",
		60: "slaves ask it, and there are none", 61: "as 60", 906: "as 60", 907: "mqadmin asks it about slaves",
		200056: "it moves what 5.4.0 keeps of POP out of RocksDB, which is not used here",
	}
}

// nameServerCodes are the codes that clients, mqadmin and brokers ask of a name server.
func nameServerCodes() []protocol.Code {
	return []protocol.Code{100, 101, 102, 103, 104, 105, 106, 205, 206, 216, 217, 219, 224, 304, 311, 312, 313, 318, 319, 322, 327, 901, 904}
}

func TestEveryCodeOfClientsAndToolsIsServed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		served := func(c *client, code protocol.Code) bool {
			return c.call(code, nil, nil).Code != protocol.CodeNotSupported
		}
		for _, code := range brokerCodes() {
			if !served(c, code) {
				t.Errorf("the broker does not serve %s (%d)", protocol.RequestName(code), code)
			}
		}
		for code, why := range codesNotServed() {
			if served(c, code) {
				t.Errorf("the broker serves %s (%d), though it is said not to: %s", protocol.RequestName(code), code, why)
			}
		}
		ns := dialAddr(t, b, b.NameServer())
		for _, code := range nameServerCodes() {
			if !served(ns, code) {
				t.Errorf("the name server does not serve %s (%d)", protocol.RequestName(code), code)
			}
		}
	})
}
