package health

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
	"github.com/rocketkit/rocketkit/trace"
)

// components judges what a client knows.
func components(s rocketkit.State) []Component {
	all := []Component{verdict("client", fails(s.Closing, "it is closing"), "")}
	all = append(all, servers(s.Servers)...)
	for _, p := range s.Producers {
		all = append(all, ofProducer(p))
	}
	for _, c := range s.Consumers {
		all = append(all, ofConsumer(c))
		for _, h := range c.Handlers {
			all = append(all, ofHandler(c.Group, h))
		}
	}
	for _, f := range s.Fetchers {
		all = append(all, ofFetcher(f))
	}
	for _, p := range s.Pullers {
		all = append(all, ofRequests(fmt.Sprintf("puller %s of %s", p.Group, p.Topic), p.Last, p.Trouble,
			fmt.Sprintf("%d queues, %d messages behind", p.Queues, p.Lag)))
	}
	for _, c := range s.SimpleConsumers {
		all = append(all, ofRequests("simple consumer "+c.Group, c.Last, c.Trouble, ""))
	}
	return all
}

func fails(bad bool, why string) error {
	if bad {
		return errors.New(why)
	}
	return nil
}

// verdict is a component that is ready unless there is a problem.
func verdict(name string, problem error, detail string) Component {
	c := Component{Name: name, Live: true, Ready: problem == nil, Detail: detail}
	if problem != nil {
		c.Problem = problem.Error()
	}
	return c
}

// servers are the name servers, without which nothing is ready, and the brokers, of
// which one must be there.
func servers(states []driver.ServerState) []Component {
	brokers := slices.DeleteFunc(slices.Clone(states), func(s driver.ServerState) bool { return s.Broker == "" })
	someBroker := len(brokers) == 0 || slices.ContainsFunc(brokers, func(s driver.ServerState) bool { return s.Err == nil })
	var all []Component
	for _, s := range states {
		name := "name servers"
		if s.Broker != "" {
			name = fmt.Sprintf("broker %s at %s", s.Broker, s.Addr)
		}
		c := verdict(name, s.Err, "not asked yet")
		if !s.At.IsZero() {
			c.Detail = "as of " + s.At.UTC().Format(time.RFC3339)
		}
		if s.Broker != "" && someBroker {
			c.Ready = true
		}
		all = append(all, c)
	}
	return all
}

func ofProducer(p producer.State) Component {
	open, closed := []string(nil), 0
	for _, broker := range slices.Sorted(maps.Keys(p.Circuits)) {
		if p.Circuits[broker] == trace.BreakerOpen {
			open = append(open, broker)
		} else {
			closed++
		}
	}
	c := verdict("producer "+p.Group, fails(p.Ended, "it has ended"), fmt.Sprintf("%d in flight", p.InFlight))
	if len(open) > 0 {
		c.Ready = c.Ready && closed > 0
		c.Problem = strings.TrimPrefix(c.Problem+", ", ", ") + "circuit breaker open for " + strings.Join(open, ", ")
	}
	return c
}

func ofConsumer(s consumer.State) Component {
	return ofMember("consumer "+s.Group, s.Phase, s.Trouble, fmt.Sprintf("%d queues, %d messages behind", len(s.Queues), s.Lag))
}

func ofFetcher(s consumer.FetcherState) Component {
	return ofMember("fetcher "+s.Group, s.Phase, s.Trouble, fmt.Sprintf("%d queues, %d messages behind, %d waiting, %d without an answer, fetched %s",
		len(s.Queues), s.Lag, s.Waiting, s.Fetched, since(s.Last)))
}

// ofMember is a member of a group.
func ofMember(name, phase string, problem error, detail string) Component {
	switch phase {
	case "running":
	case "new":
		problem = errors.New("it was not started")
	default:
		problem = errors.New("it is " + phase)
	}
	c := verdict(name, problem, detail)
	// No member is mended by taking it away, and one that is not ready holds up the deploy
	// that ends the difference.
	c.Ready = c.Ready || errors.Is(problem, message.ErrSubscriptionsDiffer)
	return c
}

// ofRequests is a consumer that makes requests when the program wants messages. That one
// has failed makes nothing not ready: it may be the last for want of a probe that lets the
// program make another.
func ofRequests(name string, last time.Time, trouble error, detail string) Component {
	if detail != "" {
		detail += ", "
	}
	c := verdict(name, trouble, detail+"received "+since(last))
	c.Ready = true
	return c
}

// since is a moment, for people.
func since(t time.Time) string {
	if t.IsZero() {
		return "nothing yet"
	}
	return "last at " + t.UTC().Format(time.RFC3339)
}

func ofHandler(group string, h consumer.HandlerState) Component {
	c := verdict(fmt.Sprintf("handler %s of %s", h.Name, group), nil, fmt.Sprintf("%d of %d at work, %d waiting", h.Running, h.Concurrency, h.Waiting))
	switch {
	case h.Stuck():
		c.Live, c.Ready = false, false
		c.Problem = fmt.Sprintf("all %d calls have passed their consume time-out, the first after %s; a handler must return when its ctx ends", h.Overdue, h.Oldest.Round(time.Second))
	case h.Killed:
		c.Problem = "paused by its kill switch"
	case h.Paused:
		c.Problem = "paused"
	case h.Disabled:
		c.Problem = "disabled"
	case h.Overdue > 0:
		c.Problem = fmt.Sprintf("%d calls have passed their consume time-out", h.Overdue)
	}
	return c
}
