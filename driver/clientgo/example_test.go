package clientgo_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/driver/clientgo"
)

func ExampleFactory() {
	clientgo.UseLogger(slog.Default()) // once, in main
	ctx := context.Background()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}},
		rocketkit.WithDriver(clientgo.Name, clientgo.Factory))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
}
