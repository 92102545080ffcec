package acl

import (
	"fmt"
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Reason says at which step a request was refused.
type Reason uint8

// The steps, in their order.
const (
	NoAccessKey      Reason = iota + 1 // the request is not signed
	UnknownAccessKey                   // no account has the access key
	BadSignature                       // the signature is missing or wrong
	NotAdmin                           // the request code is for admins only
	NotPermitted                       // the account may not use the topic or group
	Unreadable                         // the body that names the topics and groups cannot be read
)

func (r Reason) String() string {
	switch r {
	case NoAccessKey:
		return "no access key"
	case UnknownAccessKey:
		return "unknown access key"
	case BadSignature:
		return "bad signature"
	case NotAdmin:
		return "not an admin"
	case NotPermitted:
		return "not permitted"
	case Unreadable:
		return "unreadable request"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Refusal is the error of a request that the rules do not allow.
type Refusal struct {
	Reason    Reason
	AccessKey string        // as the request has it; "" for NoAccessKey
	Request   protocol.Code // what was asked
	Topic     string        // of NotPermitted: this or Group
	Group     string
	Needed    Perm  // of NotPermitted
	Err       error // of Unreadable
}

// Code is the response code: NO_PERMISSION, as Apache 5.x answers. 4.9 answers
// SYSTEM_ERROR, as to any exception; its clients treat both alike.
func (e *Refusal) Code() protocol.Code { return protocol.NoPermission }

// Remark is the text for the client: Apache's, and then the remedy.
func (e *Refusal) Remark() string {
	key := clip(e.AccessKey)
	switch e.Reason {
	case NoAccessKey:
		return "No accessKey is configured; give the client an access key and its secret key, or white-list its address"
	case UnknownAccessKey:
		return fmt.Sprintf("No acl config for %s; the broker's plain_acl.yml needs an account with this accessKey", key)
	case BadSignature:
		return fmt.Sprintf("Check signature failed for accessKey=%s; compare the client's secret key with the account's", key)
	case NotAdmin:
		return fmt.Sprintf("Need admin permission for request code=%d, but accessKey=%s is not; use an account with admin: true", e.Request, key)
	case NotPermitted:
		kind, name, list := "topic", e.Topic, "topicPerms"
		if e.Group != "" {
			kind, name, list = "group", e.Group, "groupPerms"
		}
		name = clip(name)
		return fmt.Sprintf("No default permission for %s:%s; accessKey=%s needs %s=%s in its %s", kind, name, key, name, e.Needed, list)
	case Unreadable:
		return fmt.Sprintf("the body of %s cannot be read: %v", protocol.RequestName(e.Request), e.Err)
	}
	return e.Reason.String()
}

// Error is the text for the log.
func (e *Refusal) Error() string {
	return fmt.Sprintf("acl: %s refused: %s", protocol.RequestName(e.Request), e.Remark())
}

// Unwrap returns why a body could not be read.
func (e *Refusal) Unwrap() error { return e.Err }

// clip keeps what a client wrote short in answers and logs.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// FileError is one thing wrong in the rules' file. Secret keys are never part of it.
type FileError struct {
	File    string
	Line    int    // from 1; 0 when Problem says it or none applies
	Account string // the account's access key, "accounts[i]" before it is known, "" outside
	Problem string
	Remedy  string
}

func (e *FileError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Account != "" {
		fmt.Fprintf(&b, ": account %s", e.Account)
	}
	fmt.Fprintf(&b, ": %s", e.Problem)
	if e.Remedy != "" {
		fmt.Fprintf(&b, "; %s", e.Remedy)
	}
	return b.String()
}
