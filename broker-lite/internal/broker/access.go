package broker

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/acl"
	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// ACL. Every request is checked before it is served, on any connection: package acl
// says how. Of 4.9's codes for tools none is served: 50, 51 and 53 would write
// plain_acl.yml, 52 tells its version and 54 its content, secret keys included. All are
// answered with REQUEST_CODE_NOT_SUPPORTED; operators edit the file, which is read
// again when it changes. 5.x has codes 3001 to 3010 for rules of another kind, which
// are not served either.

// access is the ACL that is in force.
type access struct {
	guard *acl.Guard
	alarm *alarm.Alarm // looks at the file again; owned
}

// openACL reads the rules, nil without aclEnable. They are an operator's file, like
// broker.conf, on the machine's disk wherever the store is.
func openACL(c *config.Config, log *slog.Logger) (*access, error) {
	if !c.ACLEnable {
		return nil, nil
	}
	guard, err := acl.Open(vfs.OS(), c.ACLPath(), log)
	if err != nil {
		return nil, fmt.Errorf("aclEnable=true needs rules: %w; correct %s, name another file with aclFile in broker.conf or brokerlite.ACLFile, or set aclEnable=false", err, c.ACLPath())
	}
	a := &access{guard: guard, alarm: alarm.Start(0, guard.Ring)}
	a.alarm.Set(time.Now().Add(acl.WatchInterval))
	return a, nil
}

// mayRead checks a record that a request has found without naming its topic. One that
// waits in a topic of the broker's own is judged by the topic that it is for.
func (b *Broker) mayRead(p *peer, cmd *protocol.Command, record []byte) error {
	if b.acl == nil {
		return nil
	}
	var r protocol.Record
	if _, err := protocol.DecodeRecord(record, &r); err != nil {
		return err
	}
	topic := r.Topic
	switch topic {
	case meta.ScheduleTopic, meta.TimerTopic, meta.HalfTopic:
		if real, ok := protocol.Property(r.Properties, protocol.PropRealTopic); ok {
			topic = real
		}
	}
	return b.acl.guard.Rules().CheckTopic(p.born.Addr(), cmd, topic, acl.Sub)
}
