package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/examples/internal/sample"
	"github.com/rocketkit/rocketkit/health"
	"github.com/rocketkit/rocketkit/wireset"
)

// everything is what runs, in the order of its start; its port is taken before. Requests are
// drained first, since they send, for a second, then consumers and producers. With what is
// cut off then, Ctrl-C takes 5 s at most.
func everything(l net.Listener, orders *orderService, client *rocketkit.Client, cs wireset.Consumers, h *http.Server, text welcome, checks *health.Checks) rocketkit.Runner {
	return rocketkit.Within(2*time.Second, client,
		rocketkit.OnStart(orders.ready), cs, rocketkit.Within(time.Second, rocketkit.HTTP(l, h)), rocketkit.OnStart(text.print), checks)
}

// openCluster starts RocketMQ in this process, unless name servers say where it is.
func openCluster(ctx context.Context, s settings, log *slog.Logger) (config.Config, func(), error) {
	dir := filepath.Join(filepath.Dir(s.DB), "broker-lite")
	cfg, end, err := sample.Cluster(ctx, s.Client, log, append([]brokerlite.Option{brokerlite.Dir(dir)}, s.server...)...)
	if err != nil {
		err = fmt.Errorf("%w; here that is --db, or --name-servers for a server that runs", err)
	}
	return cfg, end, err
}

// muxes are the consumer groups of the services that run in this process.
func muxes(s settings, pay payServiceListeners, orders orderServiceListeners) (all []*consumer.Mux) {
	if s.Runs(servicePay) {
		mux := consumer.NewMux("pay_consumer_group")
		mux.Add(pay...)
		all = append(all, mux)
	}
	if s.Runs(serviceOrderTimeout) {
		// From the first: a time-out that was due before this group's first start counts.
		mux := consumer.NewMux("order_timeout_consumer_group", consumer.From(consumer.First))
		mux.Add(orders...)
		all = append(all, mux)
	}
	return all
}

// groupOptions win over the configuration: --retries does where it is given.
func groupOptions(s settings) []consumer.GroupOption {
	if s.Retries == nil {
		return nil
	}
	return []consumer.GroupOption{consumer.MaxRetries(*s.Retries)}
}

// probes are about this client.
func probes(client *rocketkit.Client) *health.Checks { return health.New(client) }

// welcome says where everything is and what to try.
type welcome struct {
	Settings settings
	Cluster  config.Config
	Listener net.Listener
	out      io.Writer
}

//go:embed welcome.txt
var welcomeText string

func (w welcome) print(context.Context) error {
	text := new(strings.Builder)
	if err := template.Must(template.New("welcome").Parse(welcomeText)).Execute(text, w); err != nil {
		return err
	}
	_, err := io.WriteString(w.out, text.String()) // at once
	return err
}

// Wait is in how many seconds an order is closed, 0 when nobody likes to wait that long.
func (w welcome) Wait() float64 {
	if w.Settings.OrderTimeout > time.Minute {
		return 0
	}
	return math.Ceil(w.Settings.OrderTimeout.Seconds()) + 1 // servers keep to the second
}
