// Package config holds the configuration of a client as plain structs, with
// their defaults and checks. Package config/load fills them from a file and the
// environment; nothing here knows either, except that NAMESRV_ADDR, Apache's own
// variable, stands in for name servers that are not given.
package config
