package load_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
)

func ExampleFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "application.yml")
	text := `
rocketmq:
  name_servers: ["ns1:9876", "ns2:9876"]
  producer: {group: pay_group, send_timeout: 5s}
  consumers:
    - {group: pay_consumer_group, from: first, handlers: [{name: paid, concurrency: 32}]}
server: {port: 8080} # of the application
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := load.Load(load.File(file), load.Environ([]string{"ROCKETMQ_CONSUMERS_0_CONCURRENCY=64"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.NameServers, cfg.Producer.SendTimeout)
	fmt.Println(cfg.Consumers[0].Group, cfg.Consumers[0].Concurrency, cfg.Consumers[0].Handlers[0].Concurrency)
	// Output:
	// [ns1:9876 ns2:9876] 5s
	// pay_consumer_group 64 32
}

// A slip is an error that names the nearest key.
func ExampleLoad_mistakes() {
	_, err := load.Load(load.Data("app.yaml", "yaml", []byte("rocketmq: {producer: {send_timout: 5s}}")), load.Environ(nil))
	fmt.Println(err)
	// Output: config app.yaml: unknown key "rocketmq.producer.send_timout"; the nearest is "producer.send_timeout"
}

// With a client, apply is its Reload and the watcher a Runner behind it:
// rocketkit.Run(ctx, client, consumer, watcher).
func ExampleNewWatcher() {
	file, err := os.CreateTemp("", "*.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString("rocketmq: {log_level: warn}"); err != nil {
		fmt.Println(err)
		return
	}
	applied := make(chan string)
	watcher := load.NewWatcher(func(cfg config.Config) error {
		applied <- cfg.LogLevel
		return nil
	}, load.File(file.Name()), load.Environ(nil))
	ctx := context.Background()
	if err := watcher.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("log level:", <-applied)
	if err := os.WriteFile(file.Name(), []byte("rocketmq: {log_level: debug}"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("log level:", <-applied)
	if err := watcher.Drain(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// log level: warn
	// log level: debug
}
