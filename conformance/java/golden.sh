#!/bin/sh
# Makes the golden bytes of internal/protocol anew, from Apache RocketMQ's own classes (5.4.0 and 4.9.7).
# Needs Go, a JDK 11 or newer and, the first time, Maven. What changes shows in git diff.
set -eu
cd "$(dirname "$0")/../.."
exec go run ./conformance/apache/cmd/apache golden "${1:-internal/protocol/testdata/golden}"
