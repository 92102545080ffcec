package config

// Values of vipChannel: whether the broker listens on listenPort-2 as well, which
// Java clients with vipChannelEnabled=true dial. Apache's brokers always do.
const (
	VIPFixed = "auto" // when listenPort is not 0
	VIPOn    = "on"   // also below a port that was picked
	VIPOff   = "off"
)

// ServesVIP reports whether the VIP channel is asked for.
func (c *Config) ServesVIP() bool {
	return c.VIPChannel == VIPOn || c.VIPChannel == VIPFixed && c.ListenPort != 0
}
