// Command filters sends parcels and receives some of them in each of two groups: by their tags,
// and by an SQL92 expression over their properties. The broker filters, so nothing else travels.
//
//	go run ./examples/filters
//
// Apache's brokers evaluate SQL92 only with enablePropertyFilter=true in their broker.conf.
package main
