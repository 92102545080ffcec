// Package namesrv is the name server: the table of brokers and topics and the
// handlers of the requests about it. It serves Apache's brokers (4.9 and 5.x)
// and clients as well as broker-lite's.
//
// # The table
//
// One mutex guards it; no I/O happens under it. A registration (code 103)
// belongs to the connection that it came by: when the connection closes, or
// when nothing has been heard of the broker for 120 s (or the time-out that a
// 5.x broker names), the broker and the topics that only it had are gone. The
// scan sleeps until the next broker may expire.
//
// Codes: 103 and 104 register and unregister, 322 and 904 are the heartbeats of
// brokers that act as masters, 105 route, 106 cluster, 206 topics, and mqadmin's,
// which admin.go names. Others are answered with response code 3.
//
// # What operators set
//
// Keys and values (codes 100 to 102) and the name server's own flags (318) are in
// kvConfig.json and namesrv.properties of the name server's directory. One goroutine
// writes them, and a change is answered when it is written.
package namesrv
