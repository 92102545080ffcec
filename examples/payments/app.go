package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/retry"
)

// service is one of the two services.
type service interface {
	routes(mux *http.ServeMux)
	// ready waits until the service can start.
	ready(ctx context.Context) error
	receiver() *consumer.Consumer
}

// bothServices, onlyPay and onlyOrders are what a process may run.
func bothServices(o *orderService, p *payService) []service { return []service{o, p} }
func onlyPay(p *payService) []service                       { return []service{p} }
func onlyOrders(o *orderService) []service                  { return []service{o} }

// app is everything that runs in the process. It is a rocketkit.Runner: Run would
// give each of its parts 30 s to end, and together they have 5 s.
type app struct {
	settings settings
	cluster  cluster
	client   *rocketkit.Client
	services []service
	server   *server
	log      *slog.Logger
}

func newApp(s settings, srv *server, services []service, c cluster, client *rocketkit.Client, log *slog.Logger) *app {
	return &app{settings: s, cluster: c, client: client, services: services, server: srv, log: log}
}

// newMux makes the Mux of a consumer group. --retries wins over the file where it
// is given, by the options, which are for Client.NewConsumer.
func newMux(group string, s settings, from consumer.GroupOption) (*consumer.Mux, []consumer.GroupOption) {
	retries := consumer.Retry(retry.Levels(s.retries))
	mux := consumer.NewMux(group, from, retries)
	if s.retriesGiven {
		return mux, []consumer.GroupOption{retries}
	}
	return mux, nil
}

// inject makes the app that the settings ask for. The returned function ends what
// was opened for it.
func inject(ctx context.Context, s settings, log *slog.Logger) (*app, func(), error) {
	switch s.service {
	case servicePay:
		return injectPay(ctx, s, log)
	case serviceOrderTimeout:
		return injectOrderTimeout(ctx, s, log)
	}
	return injectAll(ctx, s, log)
}

// run serves until ctx ends, and then finishes what has begun.
func (a *app) run(ctx context.Context, out io.Writer) error {
	for _, s := range a.services {
		if err := s.ready(ctx); ctx.Err() != nil {
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
	for _, s := range a.services {
		if err := s.receiver().Start(ctx); err != nil {
			return err
		}
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
