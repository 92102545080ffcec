package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/wireset"
)

// app is everything that runs in the process. It is a rocketkit.Runner: Run would
// give each of its parts 30 s to end, and together they have 5 s.
type app struct {
	settings  settings
	server    *server // first, so that its port is taken before anything else is started
	cluster   cluster
	client    *rocketkit.Client
	consumers wireset.Consumers
	orders    *orderService
	log       *slog.Logger
}

// muxes are the consumer groups of the services that run in this process.
func muxes(s settings, pay payServiceListeners, orders orderServiceListeners) (all []*consumer.Mux) {
	if s.runs(servicePay) {
		mux := consumer.NewMux("pay_consumer_group")
		mux.Add(pay...)
		all = append(all, mux)
	}
	if s.runs(serviceOrderTimeout) {
		// From the first: a time-out that was due before this group's first start counts.
		mux := consumer.NewMux("order_timeout_consumer_group", consumer.From(consumer.First))
		mux.Add(orders...)
		all = append(all, mux)
	}
	return all
}

// groupOptions win over the configuration: --retries does where it is given.
func groupOptions(s settings) []consumer.GroupOption {
	if !s.retriesGiven {
		return nil
	}
	return []consumer.GroupOption{consumer.MaxRetries(s.retries)}
}

// run serves until ctx ends, and then finishes what has begun.
func (a *app) run(ctx context.Context, out io.Writer) error {
	if a.settings.runs(serviceOrderTimeout) {
		if err := a.orders.ready(ctx); ctx.Err() != nil {
			return nil // ended before it began
		} else if err != nil {
			return err
		}
	}
	if err := a.cluster.unreachable(ctx); err != nil {
		a.log.Warn("waiting for RocketMQ; requests fail until it is there", "error", err)
	}
	if err := a.welcome(out); err != nil {
		return err
	}
	return rocketkit.Run(ctx, a)
}

// drainTimeout bounds the end of requests, handlers and sends. What does not end
// in time is cut off, which takes the rest of 5 s at most.
const drainTimeout = 2 * time.Second

// Start implements rocketkit.Runner.
func (a *app) Start(ctx context.Context) error {
	if err := a.consumers.Start(ctx); err != nil {
		return err
	}
	return a.server.Start(ctx)
}

// Drain implements rocketkit.Runner: requests first, since they send, and then
// consumers and producers, all within one limit.
func (a *app) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	return errors.Join(a.server.Drain(ctx), a.client.Drain(ctx))
}

// welcome says where everything is and what to try.
func (a *app) welcome(out io.Writer) error {
	s := a.settings
	base := "http://" + a.server.l.Addr().String()
	where, kept := "RocketMQ at "+strings.Join(a.cluster.nameServers, ";"), "Orders"
	if a.cluster.embedded {
		where, kept = "RocketMQ runs in this process, name server "+a.cluster.nameServers[0], "Orders and messages"
	}
	text := fmt.Sprintf("\nPayments listen on %s\n%s\n%s are kept in %s\n\nTry:\n", base, where, kept, filepath.Dir(s.db))
	for i, line := range a.try(base) {
		text += fmt.Sprintf("  %d. %s\n", i+1, line)
	}
	if s.runs(serviceOrderTimeout) && s.orderTimeout > patience {
		text += fmt.Sprintf("An order that nobody pays is closed after %v. To watch that, start with --order-timeout 5s.\n", s.orderTimeout)
	}
	if s.service != serviceAll && a.cluster.embedded {
		other := servicePay
		if s.service == servicePay {
			other = serviceOrderTimeout
		}
		text += fmt.Sprintf("The other service runs beside with: --service %s --name-servers %s --db %s --addr <another>\n", other, a.cluster.nameServers[0], s.db)
	}
	_, err := io.WriteString(out, text+"Ctrl-C ends it.\n\n")
	return err
}

// patience is how long somebody may like to watch an order.
const patience = time.Minute

// try are three commands to try.
func (a *app) try(base string) []string {
	s := a.settings
	const pay = "/api/pay/pay_cb?text=hello"
	create := fmt.Sprintf(`ID=$(curl -s -X POST %s/api/orders | cut -d'"' -f4); echo "order $ID"`, base)
	show := fmt.Sprintf(`curl %s/api/orders/$ID`, base)
	// Servers keep to the second.
	wait := fmt.Sprintf(`sleep %.0f; %s    # nobody has paid: closed`, math.Ceil(s.orderTimeout.Seconds())+1, show)
	switch {
	case s.service == servicePay:
		return []string{
			fmt.Sprintf(`curl "%s%s"`, base, pay),
			fmt.Sprintf(`curl "%s/api/pay/delay?text=later"    # consumed after 5 s`, base),
			fmt.Sprintf(`curl "%s/api/pay/pay_cb?text=fail"; curl %s/api/pay/dead    # after %d retries it is dead`, base, base, s.retries),
		}
	case s.service == serviceOrderTimeout:
		if s.orderTimeout > patience {
			wait = show + "    # unpaid"
		}
		return []string{create, show + "    # unpaid", wait}
	case s.orderTimeout <= patience:
		return []string{create, wait, fmt.Sprintf(`curl "%s%s"    # sends a payment: SEND_OK`, base, pay)}
	}
	return []string{create, fmt.Sprintf(`curl "%s%s&order=$ID"    # pays it: SEND_OK`, base, pay), show + "    # paid, as soon as its message is handled"}
}
