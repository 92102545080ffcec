package answer

import (
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// The remarks are Apache's, as its servers send them, and broker-lite's.
func TestARefusalByACLNamesTheCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code   protocol.Code
		remark string
		want   string
	}{
		{protocol.SystemError, "org.apache.rocketmq.acl.common.AclException: Check signature failed for accessKey=k, org.apache.rocketmq.acl.", "credentials"},
		{protocol.NoPermission, "No acl config for k", "credentials"},
		{protocol.NoPermission, "check signature failed.", "credentials"},
		{protocol.NoPermission, "User:k is not found.", "credentials"},
		{protocol.NoPermission, "username cannot be null.", "credentials"},
		{protocol.NoPermission, "User:k has no permission to access Topic:orders from 127.0.0.1, no match policy found.", "credentials"},
		{protocol.NoPermission, "the broker[127.0.0.1] sending message is forbidden", "brokerPermission"},
		{protocol.GroupNotExist, "subscription group [User:k] does not exist", "create the group"},
	} {
		if got := remedy(&protocol.Command{Code: c.code, Remark: c.remark}); !strings.Contains(got, c.want) {
			t.Errorf("%d %q: %q, want one that names %q", c.code, c.remark, got, c.want)
		}
	}
}
