package broker

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Codes 25 UPDATE_BROKER_CONFIG and 26 GET_BROKER_CONFIG (AdminBrokerProcessor), alike
// on 4.9 and 5.x: properties, as broker.conf has them. 26 tells the keys that the
// broker acts on. 25 changes those that can change while it runs; Apache takes any key
// without a word and acts on few, here the others are refused.

func (b *Broker) configHandlers() handlers {
	return handlers{
		protocol.GetBrokerConfig:    b.at(b.getConfig),
		protocol.UpdateBrokerConfig: b.updateConfig,
	}
}

// configVersion are the fields of the answer to code 26: a data version that counts
// the changes.
type configVersion string

func (v configVersion) AppendFields(w *protocol.FieldWriter) { w.String("version", string(v)) }

func (b *Broker) getConfig(*peer, *protocol.Command) answer {
	var text strings.Builder
	if err := b.conf().Print(&text); err != nil {
		return failed(err)
	}
	version, err := json.Marshal(protocol.DataVersion{Counter: b.configChanges.Load(), Timestamp: b.stats.started.UnixMilli()})
	if err != nil {
		return failed(err)
	}
	return answer{header: configVersion(version), body: []byte(text.String())}
}

func (b *Broker) updateConfig(p *peer, cmd *protocol.Command) {
	text := string(cmd.Body)
	if _, props, err := b.conf().Change(text); err == nil {
		var attrs []any
		for _, c := range props {
			attrs = append(attrs, c.Key, c.Value)
		}
		b.audit(p, cmd, attrs...)
	}
	b.inTurn(p, cmd, func(ctx context.Context) answer {
		changed, props, err := b.conf().Change(text)
		switch {
		case errors.Is(err, config.ErrFixed):
			return refuse(protocol.NoPermission, "Can not update config in black list.")
		case err != nil:
			return failed(err)
		}
		if err := b.keepConfig(props); err != nil {
			return failed(err)
		}
		b.use(ctx, &changed)
		return answer{}
	})
}

// keepConfig writes a change into the broker.conf that the broker was started with.
// Without one it lasts until the broker ends, as on Apache.
func (b *Broker) keepConfig(props []config.Property) error {
	if b.confFile == "" {
		return nil
	}
	text, err := os.ReadFile(b.confFile)
	if err != nil {
		return err
	}
	return vfs.WriteFileAtomic(vfs.OS(), b.confFile, []byte(config.Edit(string(text), props)))
}

// use puts a configuration in force. Its caller holds the turn.
func (b *Broker) use(ctx context.Context, c *config.Config) {
	before := b.live.Swap(c)
	b.configChanges.Add(1)
	b.meta.Groups.SetAutoCreate(c.AutoCreateGroup)
	if c.AutoCreateTopic != before.AutoCreateTopic {
		b.meta.Topics.SetAutoCreate(c.AutoCreateTopic)
	}
	if now := retentionSettings(c); now != retentionSettings(before) {
		b.retention.Change(now)
	}
	if c.Permission != before.Permission {
		b.meta.Topics.NewVersion()
		if err := b.announce(ctx); err != nil {
			b.logger.Warn("brokerPermission has changed, but name servers do not know it yet", "err", err)
		}
	}
}
