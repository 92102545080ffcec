package brokerlite

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// PrintConfig writes the configuration that Start would follow with these options,
// as a broker.conf. What Start would warn of goes to the logger.
func PrintConfig(w io.Writer, opts ...Option) error {
	p, err := validate(opts)
	if err != nil {
		return fmt.Errorf("broker-lite: %w", err)
	}
	p.warn()
	return p.config.Print(w)
}

// DirOf is the directory that Start would keep everything in with these options.
func DirOf(opts ...Option) (string, error) {
	p, err := validate(opts)
	if err != nil {
		return "", fmt.Errorf("broker-lite: %w", err)
	}
	return p.config.StorePath, nil
}

// Dir is the directory that everything is kept in.
func (b *Broker) Dir() string { return b.plan.config.StorePath }

// BootLines are the lines that Apache's 5.x servers print when they have started;
// scripts wait for them.
func (b *Broker) BootLines() []string {
	var lines []string
	if b.nameServer != nil {
		lines = append(lines, fmt.Sprintf("The Name Server boot success. serializeType=JSON, address %s",
			net.JoinHostPort(b.plan.config.BindAddress, strconv.Itoa(portOf(b.nameServer.l)))))
	}
	if b.server != nil {
		line := fmt.Sprintf("The broker[%s, %s] boot success. serializeType=JSON", b.Name(), b.addr)
		if servers := b.plan.config.NameServers; len(servers) > 0 {
			line += " and name server is " + strings.Join(servers, ";")
		}
		lines = append(lines, line)
	}
	return lines
}
