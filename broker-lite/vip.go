package brokerlite

import (
	"net"
	"strconv"

	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
)

// VIPChannel has the broker serve clients two ports below its own as well, where
// Java clients with vipChannelEnabled=true connect. In a broker.conf it is
// vipChannel: on, off, or auto, which is on unless listenPort is 0. Standalone has
// auto, as Apache's brokers always listen there; other servers have it off.
func VIPChannel(on bool) Option {
	return func(s *settings) {
		s.edit(func(c *config.Config) {
			c.VIPChannel = config.VIPOff
			if on {
				c.VIPChannel = config.VIPOn
			}
		})
	}
}

// listenVIP listens for the VIP channel, where it is asked for. A port that is
// taken is no reason not to start, as it is for Apache: brokers whose ports are two
// apart are common on one machine, and few clients use the channel.
func (b *Broker) listenVIP(c *config.Config, port int) net.Listener {
	if !c.ServesVIP() {
		return nil
	}
	at := *c
	at.ListenPort = port - 2
	remedy := "choose another listenPort, or set vipChannel=off in broker.conf"
	if at.ListenPort < 1 {
		b.logger.Warn("no VIP channel: there is no port two below the broker's; "+remedy, "port", port)
		return nil
	}
	l, err := b.listen(at.ListenAddr())
	if err != nil {
		b.logger.Warn("no VIP channel: Java clients with vipChannelEnabled=true cannot use this broker; "+remedy,
			"port", strconv.Itoa(at.ListenPort), "error", err)
		return nil
	}
	return l
}
