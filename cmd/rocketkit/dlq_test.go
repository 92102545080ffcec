package main

import (
	"regexp"
	"strings"
	"testing"
)

// The dead-letter topic is filled as any topic is: what counts is its name.
func TestDeadLettersAreListedShownAndSentBack(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	if out := c.must("dlq", "list"); strings.Contains(out, "billing") {
		t.Error(out)
	}
	if o := c.run("dlq", "show", "-g", "billing"); o.err != nil || o.out != "" || !strings.Contains(o.notes, "no dead letters of group billing") {
		t.Errorf("%v\n%s%s", o.err, o.out, o.notes)
	}
	c.must("topic", "create", "%DLQ%billing", "-r", "1", "-w", "1")
	c.must("send", "-t", "%DLQ%billing", "--body", "x", "--count", "2")
	if out := c.must("dlq", "list"); !regexp.MustCompile(`(?m)^billing +2 +2 +\d{4}-`).MatchString(out) {
		t.Error(out)
	}
	if out := c.must("dlq", "show", "billing"); strings.Count(out, "\n") != 2 || !strings.Contains(out, `"x"`) {
		t.Error(out)
	}
	if out := c.must("dlq", "redrive", "billing", "--dry-run"); out != "would send back 2 of 2\n" {
		t.Error(out)
	}
	if out := c.must("dlq", "redrive", "billing", "--rate", "1000"); out != "sent back 2 of 2\n" {
		t.Error(out)
	}
	if out := c.must("dlq", "redrive", "-g", "billing"); out != "sent back 0 of 0\n" {
		t.Error(out)
	}
}
