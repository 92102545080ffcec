// Command transaction places orders and takes them from the stock, by transactional messages:
// the stock hears of an order only when the order is in the database. Two of four orders crash
// in the middle; RocketMQ asks then, and the check looks into the database.
//
//	go run ./examples/transaction
//
// Apache's brokers ask 6 to 60 seconds after the crash; the one in this process after two.
package main
