// Package sample starts a sample program: on the RocketMQ that NAMESRV_ADDR names, or on
// broker-lite in the program itself.
package sample
