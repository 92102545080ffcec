// Package admin makes topics and asks name servers and brokers about them, straight
// over the wire: one request, one answer. It is what the command line needs today,
// in the form in which a public package can take it over.
package admin
