// Package config is the broker's configuration: a plain struct, Apache's
// defaults, Apache's broker.conf (java.util.Properties) read into it, and the
// choice of the address that the broker advertises.
//
// Every key of Apache RocketMQ 4.9 and 5.x is known by name. Those that
// broker-lite acts on set a field; those that mean something to Apache only are
// accepted with one warning each, so that an existing broker.conf works; any
// other name is an error that names the nearest known key. All mistakes of a
// file are reported together.
//
// Nothing in it is stateful: a Config is a value that its reader owns.
package config
