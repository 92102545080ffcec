package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// website is the address of a server that answers whatever it is asked in HTTP.
func website(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1024))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestNoAnswerIsExplained(t *testing.T) {
	t.Parallel()
	late := fmt.Errorf("%w: %w", message.ErrNoNameServer, context.DeadlineExceeded)
	if err := new(connection).explain(late); !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), "is it a name server that listens there?") {
		t.Error(err)
	}
	other := errors.New("other")
	if err := new(connection).explain(other); err != other { //nolint:errorlint // as it is
		t.Error(err)
	}
}

func TestMistakesAreSaidInOneLineWithTheWayOut(t *testing.T) {
	t.Parallel()
	strict, _ := withServer(t, brokerlite.AutoCreateTopics(false))
	old, _ := withServer(t, brokerlite.Conf("timerWheelEnable=false"))
	lost, away := withServer(t, brokerlite.Conf("brokerIP1=127.0.0.2")) // it listens on 127.0.0.1
	site := website(t)
	for name, tc := range map[string]struct {
		c    cli
		args []string
		says []string
	}{
		"no topic":           {strict, []string{"send", "--body", "x"}, []string{"want -t <topic>", `see "rocketkit send --help"`}},
		"a topic's name":     {strict, []string{"send", "-t", "a b", "--body", "x"}, []string{`"a b" has ' ' at byte 1`}},
		"missing topic":      {strict, []string{"send", "-t", "none", "--body", "x"}, []string{"No route info of this topic", strict.nameServer, "rocketkit topic create none"}},
		"route of none":      {strict, []string{"topic", "route", "none"}, []string{"No route info of this topic", "rocketkit topic create none"}},
		"status of none":     {strict, []string{"topic", "status", "none"}, []string{"No route info of this topic", "rocketkit topic create none"}},
		"no body":            {strict, []string{"send", "-t", "a", "--body", ""}, []string{"--body is empty"}},
		"two bodies":         {strict, []string{"send", "-t", "a", "--body", "x", "-f", "y"}, []string{"want one of them"}},
		"no file":            {strict, []string{"send", "-t", "a", "-f", "/nowhere"}, []string{"/nowhere"}},
		"count of lines":     {strict, []string{"send", "-t", "a", "--count", "2"}, []string{"--count needs --body or -f"}},
		"count":              {strict, []string{"send", "-t", "a", "--body", "x", "--count", "0"}, []string{"--count 0: want 1 or more"}},
		"tag":                {strict, []string{"send", "-t", "a", "--body", "x", "--tag", "a|b"}, []string{`tag "a|b"`}},
		"key":                {strict, []string{"send", "-t", "a", "--body", "x", "--key", "a b"}, []string{`key "a b"`}},
		"property":           {strict, []string{"send", "-t", "a", "--body", "x", "--property", "region"}, []string{`"region": want name=value`}},
		"RocketMQ's own":     {strict, []string{"send", "-t", "a", "--body", "x", "--property", "DELAY=1"}, []string{`"DELAY" is RocketMQ's own`}},
		"delay level":        {strict, []string{"send", "-t", "a", "--body", "x", "--delay", "19"}, []string{"level from 1 to 18"}},
		"delay":              {strict, []string{"send", "-t", "a", "--body", "x", "--delay", "-5s"}, []string{"--delay -5s: want a time"}},
		"no timer":           {old, []string{"send", "-t", "a", "--body", "x", "--delay", "7s"}, []string{"not supported", "timerWheelEnable"}},
		"producer group":     {strict, []string{"send", "-t", "a", "--body", "x", "-g", "a b"}, []string{"invalid group"}},
		"no dead group":      {strict, []string{"dlq", "show"}, []string{"want -g <group>"}},
		"two dead groups":    {strict, []string{"dlq", "redrive", "a", "-g", "b"}, []string{"two consumer groups"}},
		"no group":           {strict, []string{"consume", "-t", "a"}, []string{"want -g <group>"}},
		"consumer group":     {strict, []string{"consume", "-t", "a", "-g", "a b"}, []string{`"a b"`}},
		"from":               {strict, []string{"consume", "-t", "a", "-g", "g", "--from", "middle"}, []string{"want first or last"}},
		"max":                {strict, []string{"consume", "-t", "a", "-g", "g", "--max", "-1"}, []string{"--max -1"}},
		"timeout":            {strict, []string{"consume", "-t", "a", "-g", "g", "--timeout", "-1s"}, []string{"--timeout -1s"}},
		"time without unit":  {strict, []string{"consume", "-t", "a", "-g", "g", "--timeout", "1"}, []string{"missing unit", `see "rocketkit consume --help"`}},
		"perm":               {strict, []string{"topic", "create", "a", "-p", "7"}, []string{"--perm 7: want 2 (write), 4 (read) or 6 (both)"}},
		"queues":             {strict, []string{"topic", "create", "a", "-r", "0"}, []string{"--read-queues 0"}},
		"write queues":       {strict, []string{"topic", "create", "a", "-w", "70000"}, []string{"--write-queues 70000"}},
		"cluster":            {strict, []string{"topic", "create", "a", "-c", "none"}, []string{`no cluster "none"; there is DefaultCluster`}},
		"cluster and broker": {strict, []string{"topic", "create", "a", "-c", "x", "-b", "y"}, []string{"want one of them"}},
		"broker":             {strict, []string{"topic", "create", "a", "-b", "127.0.0.1:1"}, []string{"connect to 127.0.0.1:1 refused"}},
		"a system topic":     {strict, []string{"topic", "create", "TBW102"}, []string{"TBW102"}},
		"two topics":         {strict, []string{"topic", "route", "a", "-t", "b"}, []string{`"a" and "b"`}},
		"a second argument":  {strict, []string{"topic", "status", "a", "b"}, []string{`unexpected argument "b"`, `see "rocketkit topic status --help"`}},
		"an argument":        {strict, []string{"send", "orders"}, []string{`unexpected argument "orders"`, `see "rocketkit send --help"`}},
		"unknown command":    {strict, []string{"sned"}, []string{`unknown command "sned" for "rocketkit"; did you mean send?`, `see "rocketkit --help"`}},
		"topic's subcommand": {strict, []string{"topic", "crate", "a"}, []string{`unknown command "crate" for "rocketkit topic"; did you mean create?`, `see "rocketkit topic --help"`}},
		"no number":          {strict, []string{"send", "-t", "a", "--body", "x", "--count", "many"}, []string{`invalid argument "many" for "--count" flag: want a whole number`, `see "rocketkit send --help"`}},
		"broker's address":   {strict, []string{"topic", "create", "a", "-b", "nowhere"}, []string{`--broker "nowhere": want host:port, such as 127.0.0.1:10911`}},
		"broker's host":      {strict, []string{"topic", "create", "a", "-b", "nowhere.invalid:1"}, []string{"connect to the server: no host is found by the name nowhere.invalid"}},
		"not the broker":     {strict, []string{"topic", "create", "a", "-b", strict.nameServer}, []string{"REQUEST_CODE_NOT_SUPPORTED (3) from " + strict.nameServer, "is it a broker's address where a name server's belongs"}},
		"not a name server":  {cli{t, away.Addr()}, []string{"topic", "list"}, []string{"connect to 127.0.0.2:"}},
		"advertised: create": {lost, []string{"topic", "create", "a"}, []string{"broker broker-a advertises " + away.Addr(), "set brokerIP1"}},
		"advertised: status": {lost, []string{"topic", "status", "TBW102"}, []string{"broker broker-a advertises " + away.Addr(), "set brokerIP1"}},
		"advertised: group":  {lost, []string{"consume", "-t", "TBW102", "-g", "g"}, []string{"broker broker-a advertises " + away.Addr(), "set brokerIP1"}},
		"a web server":       {cli{t, site}, []string{"topic", "list"}, []string{site, "is it a RocketMQ server that listens there?"}},
		"unknown flag":       {strict, []string{"topic", "route", "a", "--foo"}, []string{"unknown flag: --foo", `see "rocketkit topic route --help"`}},
		"no server":          {cli{t, "127.0.0.1:1"}, []string{"send", "-t", "a", "--body", "x"}, []string{"connect to 127.0.0.1:1 refused: is the server running? start one with: rocketkit server"}},
		"none to consume":    {cli{t, "127.0.0.1:1;127.0.0.1:2"}, []string{"consume", "-t", "a", "-g", "g"}, []string{"connect to 127.0.0.1:1;127.0.0.1:2 refused: is the server running? start one with: rocketkit server"}},
		"none to ask":        {cli{t, "127.0.0.1:1"}, []string{"topic", "list"}, []string{"connect to 127.0.0.1:1 refused: is the server running? start one with: rocketkit server"}},
		"no address":         {cli{t, "nowhere"}, []string{"topic", "list"}, []string{`name server "nowhere": want host:port`}},
		"no host":            {cli{t, "nowhere.invalid:1"}, []string{"topic", "list"}, []string{"no host is found by the name nowhere.invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tc.c.run(tc.args...)
			if o.err == nil {
				t.Fatalf("it succeeded: %s", o.out)
			}
			for _, want := range tc.says {
				if !strings.Contains(o.err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, o.err)
				}
			}
			if o.out != "" || o.notes != "" {
				t.Errorf("it printed %q and %q too", o.out, o.notes)
			}
		})
	}
}
