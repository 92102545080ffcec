// Command quickstart sends one message and receives it. It runs a RocketMQ
// server inside itself, unless NAMESRV_ADDR says where one is.
//
//	go run ./examples/quickstart
//	NAMESRV_ADDR=127.0.0.1:9876 go run ./examples/quickstart
package main
