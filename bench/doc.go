// Command bench compares two clients on two servers, interleaved in one go: the
// native client through its public API and rocketmq-client-go, against broker-lite
// and Apache RocketMQ. It prints a table and says whether the project's floor
// holds.
//
//	go run ./bench [-quick] [-servers …] [-clients …] [-rows …] [-rounds 5] [-seconds 2.5] [-body 128] [-json FILE] [-doc FILE]
//
// It exits with 0 when the floor holds, with 1 when it does not, and with 2 when
// it could not measure. docs/bench.md has the method and, by -doc, a run's tables.
//
// # Who does what
//
// The parent process (main.go) builds the server, starts and warms the servers
// (servers.go), and runs one cell after the other: a row with one client on one
// server. Each cell is a process of its own (child.go), which is this program
// again: it drives its client (native.go, clientgo.go) with the row's load
// (load.go, consume.go) and prints a sample as JSON. A client that crashes takes
// only its own sample with it. The parent gathers the samples (results.go,
// floor.go, table.go,
// conditions.go, docfile.go), and tells how far it is (progress.go).
//
// What the parties claim is checked by neither: wire.go speaks a few frames of
// the protocol by hand to make topics and to ask for their offsets.
package main
