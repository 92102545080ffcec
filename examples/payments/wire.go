//go:build wireinject

package main

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"github.com/rocketkit/rocketkit/wireset"
)

func inject(ctx context.Context, s settings, log *slog.Logger) (*app, func(), error) {
	panic(wire.Build(wireset.Set, RocketMQSet, listen, openDatabase, openCluster, clientConfig, clientOptions, muxes, groupOptions,
		wire.Struct(new(payService), "*"), wire.Struct(new(orderService), "*"), newServer, wire.Struct(new(app), "*")))
}
