// Package delay says when a message becomes visible to consumers: by one of
// the server's delay levels, after a time, or at a moment.
//
// Levels work with every RocketMQ server. After and At need a server with timer
// messages (Apache 5.0 and up, broker-lite); Apache 4.9 would deliver such a
// message at once, so drivers refuse it there, unless OrLevel gives it a level.
package delay
