package broker

import "github.com/rocketkit/rocketkit/internal/protocol"

func (b *Broker) runtimeInfo() answer { return encoded(protocol.KVTable{Table: map[string]string{}}) }
