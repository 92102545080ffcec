package acl

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Names of the header fields that a signed request carries.
const (
	FieldAccessKey     = "AccessKey"
	FieldSignature     = "Signature"
	FieldSecurityToken = "SecurityToken"
)

// Rules are the content of one plain_acl.yml. They do not change, and may be used by
// several goroutines.
type Rules struct {
	white    []Pattern
	accounts map[string]*account // by access key
}

// account is one entry of accounts. Only verifiers changes, and guards itself.
type account struct {
	accessKey  string
	white      Pattern
	admin      bool
	topicPerm  Perm // of topics that topics does not name
	groupPerm  Perm
	topics     map[string]Perm
	groups     map[string]Perm
	restricted bool // topicPerms or groupPerms has an entry: binds an admin too

	verifiers sync.Pool // *verifier, keyed with the account's secret key
}

// Check returns nil when the request may be served, and a [*Refusal] otherwise. remote
// is the client's address; the zero Addr, for connections that have none, is in no white
// list but "*". cmd must be as it was read: a signature covers its fields and its body.
func (r *Rules) Check(remote netip.Addr, cmd *protocol.Command) error {
	remote = remote.Unmap().WithZone("")
	for i := range r.white {
		if r.white[i].Match(remote) {
			return nil
		}
	}
	key, ok := cmd.Fields.Get(FieldAccessKey)
	if !ok {
		return &Refusal{Reason: NoAccessKey, Request: cmd.Code}
	}
	a := r.accounts[key]
	if a == nil {
		return &Refusal{Reason: UnknownAccessKey, AccessKey: key, Request: cmd.Code}
	}
	if a.white.Match(remote) {
		return nil
	}
	if !a.signed(cmd) {
		return &Refusal{Reason: BadSignature, AccessKey: key, Request: cmd.Code}
	}
	if adminOnly(cmd.Code) && !a.admin {
		return &Refusal{Reason: NotAdmin, AccessKey: key, Request: cmd.Code}
	}
	if a.admin && !a.restricted {
		return nil
	}
	return a.resources(cmd)
}

// CheckTopic is for a request that Check let pass and that turns out to be about a
// topic that it does not name.
func (r *Rules) CheckTopic(remote netip.Addr, cmd *protocol.Command, topic string, needed Perm) error {
	key := r.Account(remote, cmd)
	if key == "" {
		return nil // white-listed for all
	}
	a := r.accounts[key]
	switch {
	case a == nil: // the rules have changed since
		return &Refusal{Reason: UnknownAccessKey, AccessKey: key, Request: cmd.Code}
	case a.white.Match(remote.Unmap().WithZone("")), a.admin && !a.restricted:
		return nil
	}
	return a.topic(cmd, topic, needed)
}

// Account is the access key of a request that Check let pass, "" when it came from an
// address that is white-listed for all: then nobody has checked the key.
func (r *Rules) Account(remote netip.Addr, cmd *protocol.Command) string {
	remote = remote.Unmap().WithZone("")
	for i := range r.white {
		if r.white[i].Match(remote) {
			return ""
		}
	}
	return cmd.Fields.Value(FieldAccessKey)
}

// String tells how many rules there are, and nothing that is secret.
func (r *Rules) String() string {
	return fmt.Sprintf("%d accounts, %d white-listed address patterns", len(r.accounts), len(r.white))
}
