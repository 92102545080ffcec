//go:build wireinject

package main

import (
	"context"
	"log/slog"

	"github.com/google/wire"
)

func injectAll(ctx context.Context, s settings, log *slog.Logger) (*app, func(), error) {
	panic(wire.Build(listen, openDatabase, openCluster, openClient, newPayService, newOrderService, bothServices, newServer, newApp))
}

func injectPay(ctx context.Context, s settings, log *slog.Logger) (*app, func(), error) {
	panic(wire.Build(listen, openDatabase, openCluster, openClient, newPayService, onlyPay, newServer, newApp))
}

func injectOrderTimeout(ctx context.Context, s settings, log *slog.Logger) (*app, func(), error) {
	panic(wire.Build(listen, openDatabase, openCluster, openClient, newOrderService, onlyOrders, newServer, newApp))
}
