package apache

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// freePorts chooses a port for the name server and one for a broker whose VIP
// channel (two below) and HA port (one above) are free too. They come from below
// the range that systems hand out to outgoing connections, so that nothing takes
// them by chance before the JVM binds them.
func freePorts() (nameServer, broker int, err error) {
	for range 200 {
		base := 20000 + rand.IntN(12000)
		if free(base, base+3, base+5, base+6) {
			return base, base + 5, nil
		}
	}
	return 0, 0, errors.New("apache: no run of free ports between 20000 and 32000")
}

// free holds all of the ports at once, then lets go of them.
func free(ports ...int) bool {
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		defer l.Close()
	}
	return true
}
