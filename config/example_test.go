package config_test

import (
	"fmt"

	"github.com/rocketkit/rocketkit/config"
)

func ExampleConfig_Validate() {
	err := config.Config{
		NameServers: []string{"ns1"},
		Producer:    config.Producer{Compression: "gzip"},
	}.Validate()
	fmt.Println(err)
	// Output:
	// config: name_servers: "ns1" is not host:port, such as localhost:9876, nor the URL of an endpoint that answers with addresses
	// config: producer.compression: "gzip"; want zlib, lz4, zstd or none
}

// What is configured for a group is the default of the consumer that is made of it.
func ExampleConfig_ConsumerOf() {
	c := config.Config{Consumers: []config.Consumer{{Group: "pay_consumer_group", From: "first", Concurrency: 32}}}
	group, ok := c.ConsumerOf("pay_consumer_group")
	fmt.Println(group.From, group.Concurrency, ok)
	// Output: first 32 true
}

func ExampleParseSize() {
	size, err := config.ParseSize("4MiB")
	fmt.Println(int64(size), size, err)
	// Output: 4194304 4MiB <nil>
}

func ExampleCredentials() {
	c := config.Credentials{AccessKey: "order-service", SecretKey: "do not print me"}
	fmt.Println(c)
	// Output: access key order-service, secret redacted
}
