// Package java carries the sources of the Java programs that take part in the
// conformance suite, so that a test binary can compile them wherever it runs:
//
//   - golden writes golden bytes made by Apache RocketMQ's own classes;
//   - peer is a client program on Apache's Java client that runs named cases
//     against any name server;
//   - filter says what Apache's SQL92 filter makes of expressions and properties;
//   - admin runs many commands of Apache's mqadmin in one JVM.
//
// Package [github.com/rocketkit/rocketkit/conformance/apache] compiles and runs
// them against one version of Apache's published jars.
package java
