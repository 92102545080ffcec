// Command testall is the project's test command: it runs every test of the
// module and of the modules beneath it, shows what passes as it passes, and at
// the end names every test that was left out and why. What it leaves out it
// says; with -require-all that is a failure.
//
//	go run ./internal/testall [-race] [-require-all] [-apache auto|on|off] [-databases auto|on|off] [packages]
//
// The legs against the real Apache RocketMQ run when java and mvn are on the
// PATH (-apache auto); the first run downloads the published jars. So do tests on
// PostgreSQL and MariaDB (-databases auto), which run here while the tests do.
package main
