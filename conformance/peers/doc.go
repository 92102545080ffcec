// Package peers runs foreign clients against a server, to prove that it is a
// RocketMQ server to others too. Apache's own Java client is in package
// [github.com/rocketkit/rocketkit/conformance/apache]; here is
// apache/rocketmq-client-go, in two versions.
//
//	results, err := peers.ClientGo(ctx, peers.ClientGoTag, nameServer, "run1")
//
// The client is a program of its own (conformance/peers/clientgo), in a module of
// its own, since one program cannot link two versions. It is built with the go
// command that is on the PATH, from the sources that this module's tests run in.
package peers
