package main

import (
	"slices"
	"time"
)

// The servers, clients and rows, by the names of the flags.
const (
	brokerLite = "broker-lite"
	apacheName = "apache"
	embedded   = "embedded"

	nativeName   = "native"
	clientGoName = "client-go"

	rowSync    = "sync"
	rowAsync   = "async"
	rowOneway  = "oneway"
	rowBatch   = "batch"
	rowConsume = "consume"
	rowLatency = "latency"
)

func allServers() []string { return []string{brokerLite, apacheName, embedded} }
func allClients() []string { return []string{nativeName, clientGoName} }
func allRows() []string {
	return []string{rowSync, rowAsync, rowOneway, rowBatch, rowConsume, rowLatency}
}

// describeRow says what a row measures.
func describeRow(row string) string {
	return map[string]string{
		rowSync:    "sync, 64 callers",
		rowAsync:   "async, 1024 in flight",
		rowOneway:  "oneway, arrived",
		rowBatch:   "batches of 32, 8 callers",
		rowConsume: "push consume, concurrency 20",
		rowLatency: "one caller, sync",
	}[row]
}

// The loads, the same for every client and server.
const (
	syncCallers        = 64
	asyncInFlight      = 1024
	batchCallers       = 8
	batchSize          = 32
	consumeConcurrency = 20
	// fillMessages is what the topic of the row consume is filled with.
	fillMessages = 1_000_000
)

// The topics, with topicQueues queues to read and to write.
const (
	topicSend   = "bench_send"
	topicOneway = "bench_oneway"
	topicFilled = "bench_filled"
	topicQueues = 8
)

// cell is one row with one client on one server.
type cell struct {
	Row    string `json:"row"`
	Client string `json:"client"`
	Server string `json:"server"`
}

// cells lists what a round measures, in its order: a row's cells follow each
// other, so that what is compared is measured close together. Odd rounds go the
// other way, so that nobody always follows the same one.
func cells(rows, clients, servers []string, round int) []cell {
	var out []cell
	for _, row := range rows {
		var list []cell
		for _, client := range clients {
			for _, server := range servers {
				if server == embedded && client != nativeName {
					continue // for orientation only
				}
				list = append(list, cell{row, client, server})
			}
		}
		if round%2 == 1 {
			slices.Reverse(list)
		}
		out = append(out, list...)
	}
	return out
}

// job is what a child process is told.
type job struct {
	cell
	NameServer string        `json:"nameServer"`
	Broker     string        `json:"broker"` // host:port
	ServerPIDs []int         `json:"serverPIDs"`
	Group      string        `json:"group"` // consumer group, new for each job
	Warm       time.Duration `json:"warm"`  // load before the measurement
	Measure    time.Duration `json:"measure"`
	Body       int           `json:"body"`  // bytes
	Limit      int64         `json:"limit"` // messages to consume
	Dir        string        `json:"dir"`   // the embedded server's
}

// sample is what one cell gave in one round.
type sample struct {
	Messages  int64   `json:"messages"` // that count
	Seconds   float64 `json:"seconds"`
	Failed    int64   `json:"failed,omitempty"`   // sends that ended in an error
	Lost      int64   `json:"lost,omitempty"`     // oneway: sent and not arrived
	P50       float64 `json:"p50,omitempty"`      // µs
	P99       float64 `json:"p99,omitempty"`      // µs
	ClientCPU float64 `json:"clientCPU"`          // seconds
	ServerCPU float64 `json:"serverCPU"`          // seconds; 0 for the embedded server
	OtherCPU  float64 `json:"otherCPU"`           // share of the machine that neither used, 0–1
	FirstErr  string  `json:"firstErr,omitempty"` // of the failed
	Crash     string  `json:"crash,omitempty"`    // the client's process died, and nothing else is set
}

// rate is messages a second.
func (s *sample) rate() float64 {
	if s.Seconds == 0 {
		return 0
	}
	return float64(s.Messages) / s.Seconds
}

// cpuPerMillion is CPU seconds for a million messages.
func (s *sample) cpuPerMillion() (client, server float64) {
	if s.Messages == 0 {
		return 0, 0
	}
	n := float64(s.Messages) / 1e6
	return s.ClientCPU / n, s.ServerCPU / n
}
