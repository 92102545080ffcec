// Package apache runs the real Apache RocketMQ from its published jars: name
// servers and brokers inside a Go test, mqadmin, and the Java programs of
// conformance/java.
//
//	if err := apache.Available(); err != nil { … print what is left out … }
//	server, err := apache.Start(ctx, apache.Options{Version: apache.V5})
//	defer server.Stop()
//	… server.NameServer() …
//
// In a test StartFor does all of that.
//
// It needs a JDK 11 or newer (java and javac) and, the first time, Maven and a
// Maven repository. The jars of a version are kept in the user's cache
// directory, rocketkit/apache-<version>/lib, with an empty file .complete beside
// them once they are all there. A lock file keeps two test binaries that start
// at once from writing there together.
//
// # Listening
//
// Apache cannot choose its own free ports, so this package does: one for the
// name server, and three for the broker, whose HA port is one above and whose
// VIP channel is two below its own. Brokers advertise 127.0.0.1; 5.x listens
// there only, except for its HA port; 4.9 cannot be told to.
//
// # Ownership
//
// A [Server] owns its two processes; each process is started and awaited by one
// goroutine that ends with it. On Linux the JVMs die with the test binary.
package apache
