// Package metrics writes the Prometheus text format, version 0.0.4, as Apache's 5.x
// brokers do. There is no registry: what is written is read from the broker's state
// when somebody asks.
package metrics
