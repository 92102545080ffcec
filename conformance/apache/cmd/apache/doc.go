// Command apache runs Apache RocketMQ from its published jars, for development:
//
//	apache [-version 5.4.0] start [DIR]          until Ctrl-C
//	apache [-version 5.4.0] admin ARG...         Apache's mqadmin
//	apache [-version 5.4.0] peer ARG...          the Java client's cases
//	apache [-version 5.4.0] classpath
//	apache golden DIR                            the golden bytes, from 5.4.0 and 4.9.7
package main
