package native_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

func TestDelaysAndExactRetries(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		m := s.join("group", []string{"orders"}, func(d *message.Delivery) driver.Verdict {
			if string(d.Body) == "retry" && d.ReconsumeTimes < 2 {
				return driver.Verdict{Delay: 90 * time.Second} // no level has it
			}
			return driver.Verdict{Action: driver.ActionAck}
		})
		snd := s.sender(driver.SenderConfig{})
		if _, err := s.send(snd, 0, message.New("orders", []byte("first"))); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		begin := time.Now()
		for body, delay := range map[string]message.Delay{
			"level": {Level: 3}, "after": {After: 45 * time.Second}, "at": {At: begin.Add(75 * time.Second)}, "retry": {},
		} {
			if _, err := s.send(snd, 1, &message.Message{Topic: "orders", Body: []byte(body), Delay: delay}); err != nil {
				t.Errorf("%s: %v", body, err)
			}
		}
		_, err := s.send(snd, 1, &message.Message{Topic: "orders", Body: []byte("far"), Delay: message.Delay{After: 30 * 24 * time.Hour}})
		if !errors.Is(err, message.ErrUnsupported) || !strings.Contains(err.Error(), "timerMaxDelaySec") {
			t.Errorf("too far ahead: %v", err)
		}
		pass(5 * time.Minute)
		want := map[string][]time.Duration{"level": {10 * time.Second}, "after": {45 * time.Second}, "at": {75 * time.Second}, "retry": {0, 90 * time.Second, 180 * time.Second}}
		for body, times := range want {
			var got []time.Duration
			for _, d := range m.all() {
				if string(d.Body) == body {
					got = append(got, d.at.Sub(begin))
				}
			}
			if len(got) != len(times) {
				t.Errorf("%s: delivered after %v, want %v", body, got, times)
				continue
			}
			for i := range times {
				if early, late := times[i]-got[i], got[i]-times[i]; early > 0 || late > time.Duration(i+1)*2*time.Second {
					t.Errorf("%s: delivered after %v, want %v", body, got, times)
				}
			}
		}
	}, brokerlite.Conf("timerMaxDelaySec=259200")) // Apache's default; broker-lite has no limit
}
