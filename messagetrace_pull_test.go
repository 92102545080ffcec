package rocketkit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// Programs that ask for messages say of each what became of it, or have no way to say it:
// then it is handled once it is handed out, as Java's DefaultLitePullConsumer traces it.
func TestTheMessageTraceIsOfWhatProgramsAskForToo(t *testing.T) {
	t.Parallel()
	orders := consumer.Subscription{Topic: "orders"}
	fetched := func(do func(*testing.T, *consumer.Fetcher, *message.Delivery) error) func(*testing.T, *rocketkit.Client) error {
		return func(t *testing.T, c *rocketkit.Client) error {
			f, err := c.NewFetcher("shop", []consumer.Subscription{orders}, consumer.From(consumer.First), consumer.MaxRetries(1))
			if err != nil {
				return err
			}
			if err := f.Start(t.Context()); err != nil {
				return err
			}
			ds, err := f.Fetch(t.Context(), 1)
			if err != nil {
				return err
			}
			time.Sleep(3 * time.Second)
			return do(t, f, ds[0])
		}
	}
	received := func(do func(*testing.T, *consumer.SimpleConsumer, *message.Delivery) error) func(*testing.T, *rocketkit.Client) error {
		return func(t *testing.T, c *rocketkit.Client) error {
			s, err := c.NewSimpleConsumer("shop", []consumer.Subscription{orders}, consumer.From(consumer.First), consumer.Invisible(10*time.Second), consumer.PullWait(0), consumer.MaxRetries(0))
			if err != nil {
				return err
			}
			ds, err := s.Receive(t.Context(), 1)
			if err != nil {
				return err
			}
			time.Sleep(3 * time.Second)
			return do(t, s, ds[0])
		}
	}
	for name, tc := range map[string]struct {
		does func(*testing.T, *rocketkit.Client) error
		want string
	}{
		"pulled": {func(t *testing.T, c *rocketkit.Client) error {
			p, err := c.NewPuller("shop", orders, consumer.From(consumer.First), consumer.PullWait(0))
			if err != nil {
				return err
			}
			qs, err := p.Queues(t.Context())
			for _, q := range qs {
				_, err1 := p.Pull(t.Context(), q, 1)
				err = errors.Join(err, err1)
			}
			return err
		}, "SubBefore 0, SubAfter SUCCESS true 0s"},
		"fetched and done": {fetched(func(t *testing.T, f *consumer.Fetcher, d *message.Delivery) error {
			return f.Ack(d)
		}), "SubBefore 0, SubAfter SUCCESS true 3s"},
		"fetched twice": {fetched(func(t *testing.T, f *consumer.Fetcher, d *message.Delivery) error {
			if err := f.Retry(0, d); err != nil {
				return err
			}
			ds, err := f.Fetch(t.Context(), 1)
			return errors.Join(err, f.Ack(ds...))
		}), "SubBefore 0, SubAfter FAILED false 3s, SubBefore 1, SubAfter SUCCESS true 0s"},
		"fetched and given up": {fetched(func(t *testing.T, f *consumer.Fetcher, d *message.Delivery) error {
			err := f.DeadLetter(d)
			if again := f.Ack(d); !errors.Is(again, consumer.ErrRevoked) {
				t.Errorf("answered twice: %v", again)
			}
			return err
		}), "SubBefore 0, SubAfter FAILED false 3s"},
		"fetched and not answered": {fetched(func(t *testing.T, f *consumer.Fetcher, d *message.Delivery) error {
			return f.Stop(t.Context())
		}), "SubBefore 0, SubAfter RETURNNULL false 3s"},
		"received and done": {received(func(t *testing.T, s *consumer.SimpleConsumer, d *message.Delivery) error {
			return s.Ack(t.Context(), d)
		}), "SubBefore 0, SubAfter SUCCESS true 3s"},
		"received and given up": {received(func(t *testing.T, s *consumer.SimpleConsumer, d *message.Delivery) error {
			return s.DeadLetter(t.Context(), d)
		}), "SubBefore 0, SubAfter FAILED false 3s"},
		"received and done with more time": {received(func(t *testing.T, s *consumer.SimpleConsumer, d *message.Delivery) error {
			if err := s.Extend(t.Context(), time.Minute, d); err != nil {
				return err
			}
			time.Sleep(20 * time.Second)
			if _, err := s.Receive(t.Context(), 1); err != nil { // which looks for late ones
				return err
			}
			return s.Ack(t.Context(), d)
		}), "SubBefore 0, SubAfter SUCCESS true 23s"},
		"received and done too late": {received(func(t *testing.T, s *consumer.SimpleConsumer, d *message.Delivery) error {
			time.Sleep(10 * time.Second)
			if err := s.Ack(t.Context(), d); !errors.Is(err, consumer.ErrRevoked) {
				return fmt.Errorf("acknowledged too late: %w", err)
			}
			return nil
		}), "SubBefore 0, SubAfter TIME_OUT true 13s"},
		// The second time is one more than MaxRetries, and nobody gets it.
		"received and come again soon after another receive": {received(func(t *testing.T, s *consumer.SimpleConsumer, d *message.Delivery) error {
			time.Sleep(6900 * time.Millisecond)
			if ds, err := s.Receive(t.Context(), 1); err != nil || len(ds) > 0 {
				t.Errorf("received %v, %v", ds, err)
			}
			time.Sleep(200 * time.Millisecond)
			_, err := s.Receive(t.Context(), 1)
			return err
		}), "SubBefore 0, SubAfter TIME_OUT false 10s"},
		"received and not answered": {received(func(t *testing.T, s *consumer.SimpleConsumer, d *message.Delivery) error {
			time.Sleep(time.Minute)
			ds, err := s.Receive(t.Context(), 1)
			if len(ds) > 0 {
				t.Errorf("received %v again", ds)
			}
			if err := s.Ack(t.Context(), d); !errors.Is(err, consumer.ErrRevoked) {
				t.Errorf("acknowledged too late: %v", err)
			}
			return err
		}), "SubBefore 0, SubAfter TIME_OUT false 1m3s"},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, func(t *testing.T, s cluster) {
				r, err := newProducer(t, s.connect(), "post").Send(t.Context(), message.New("orders", []byte("x")))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the broker tells its name server of a new topic
				c := s.connect(rocketkit.WithMessageTrace(""))
				if err := tc.does(t, c); err != nil {
					t.Error(err)
				}
				if err := c.Drain(context.Background()); err != nil {
					t.Error(err)
				}
				events, err := s.traced(r.MessageID, "")
				var got []string
				requests := map[string]int{}
				for _, e := range events {
					requests[e.Request]++
					if e.Type == "SubBefore" {
						got = append(got, fmt.Sprint(e.Type, " ", e.Retries))
					} else {
						got = append(got, fmt.Sprint(e.Type, " ", e.Outcome, " ", e.Success, " ", e.Cost.Round(time.Second)))
					}
					if e.Group != "shop" {
						t.Errorf("of group %q: %+v", e.Group, e)
					}
				}
				if text := strings.Join(got, ", "); err != nil || text != tc.want || len(requests) != len(events)/2 {
					t.Errorf("traced %s, of %d runs, %v, want %s", text, len(requests), err, tc.want)
				}
			}, brokerlite.Conf("traceTopicEnable=true"))
		})
	}
}
