// Package load reads a client's configuration from a file and the environment
// into config.Config.
//
// The file is YAML, TOML, JSON or Java properties, by its extension. Its keys
// are those of config.Config, at the top or under "rocketmq", where other
// applications' sections may stand beside; kebab-case, camelCase and the names of
// rocketmq-spring (name-server, producer.send-message-timeout in ms, …) are
// accepted. An unknown key is an error that names the nearest known one.
//
// Variables ROCKETMQ_ and a key's path in capitals win over the file:
// ROCKETMQ_PRODUCER_SEND_TIMEOUT=5s, ROCKETMQ_NAME_SERVERS="a:9876;b:9876",
// ROCKETMQ_CONSUMERS_0_CONCURRENCY=32, or as Spring has them, without the hyphens,
// ROCKETMQ_PRODUCER_SENDTIMEOUT=5s. Empty ones count as not set. Apache's
// NAMESRV_ADDR gives the name servers when nothing else does. Variables that are
// no keys are left alone, since others use the prefix too, as are those of
// Kubernetes' services (SHOP_PORT=tcp://…), unless one is nearly a key: that is a
// slip, and an error.
//
// Section reads the application's own keys from the same files, as strictly and with
// variables of their own, and Flag and Set put flags over everything:
//
//	cfg, err := load.Load(load.File("app.yaml"), load.Section("shop", &own), load.Set("shop.order_timeout", "5s"))
//
// Durations have a unit (3s, 500ms); sizes may have one (4MiB); lists of
// addresses may be one text ("a:9876;b:9876"). Placeholders ${…} are for the settings
// of handlers (see Lookup); in a value of the client's they are an error that names its
// variable.
//
// A Watcher loads the files anew when they change and hands the configuration to a
// client's Reload, which takes log_level, rate_limit, concurrency and paused while the
// program runs, and says of all other keys that they need a restart:
//
//	watcher := load.NewWatcher(client.Reload, load.File("app.yaml"), load.Logger(slog.Default()))
//	err := rocketkit.Run(ctx, client, consumer, watcher)
package load
