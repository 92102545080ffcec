//go:build wireinject

package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/google/wire"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/wireset"
)

func inject(ctx context.Context, s settings, out io.Writer, log *slog.Logger) (rocketkit.Runner, func(), error) {
	panic(wire.Build(wireset.Set, RocketMQSet, wire.Value([]rocketkit.Option(nil)), listen, openDatabase, openCluster, muxes, groupOptions, probes,
		wire.Struct(new(payService), "*"), wire.Struct(new(orderService), "*"), newServer, wire.Struct(new(welcome), "*"), everything))
}
