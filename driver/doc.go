// Package driver is the seam between the framework and a RocketMQ client.
// Everything a user touches is written once above it; driver/native speaks the
// wire protocol itself, driver/clientgo wraps apache/rocketmq-client-go/v2.
//
// A driver makes one attempt at one broker. Choosing queues, trying again
// elsewhere, avoiding faulty brokers and breaking circuits happen once, in
// package producer; handlers, policies and tracing once, in package consumer.
package driver
