package delay

import (
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// Level postpones a message to the server's delay level n: 1–18 by default, for
// 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h. A level above the
// server's last counts as the last.
func Level(n int) message.Option {
	return func(m *message.Message) { m.Delay = message.Delay{Level: n} }
}

// After postpones a message by d, counted by the server from the moment it
// stores the message, and so immune to differences between clocks. Apache
// delivers in the second after, never early, and at most 3 days ahead
// (timerMaxDelaySec).
func After(d time.Duration) message.Option {
	return func(m *message.Message) { m.Delay = message.Delay{After: d} }
}

// At postpones a message to t by the server's clock. A moment that has passed
// delivers at once.
func At(t time.Time) message.Option {
	return func(m *message.Message) { m.Delay = message.Delay{At: t} }
}

// OrLevel lets a message go by a delay level where the server or the driver has no
// timer messages: the shortest default level that is not shorter than what by asks for
// now. A delay over the longest, 2 h, has none, and fails there with
// message.ErrUnsupported as it does without OrLevel. A message that went by a level
// cannot be cancelled.
//
//	m := message.New("reminders", body, delay.OrLevel(delay.After(25*time.Minute))) // 30 minutes on 4.9
func OrLevel(by message.Option) message.Option {
	return func(m *message.Message) {
		by(m)
		d := m.Delay.After
		switch {
		case !m.Delay.At.IsZero():
			d = time.Until(m.Delay.At)
		case d == 0:
			return // a level, or none
		}
		_, m.Delay.OrLevel = nearest(d)
	}
}
