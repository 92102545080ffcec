package acl

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const heartbeatBody = `{"clientID":"c","producerDataSet":[{"groupName":"any"}],"consumerDataSet":[
	{"groupName":"g","subscriptionDataSet":[{"topic":"t","subString":"*"},{"topic":"%RETRY%g","subString":"*"}]}]}`

func withBody(cmd *protocol.Command, body string) *protocol.Command {
	cmd.Body = []byte(body)
	return cmd
}

// TestEachCodeNeedsItsPermissions says for each code what an account needs, and that
// each part of it is needed.
func TestEachCodeNeedsItsPermissions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		cmd   *protocol.Command
		needs []string // "topic t=PUB", "group g=SUB"; none: a signature is enough
	}{
		{"send", request(10, "producerGroup=p", "topic=t"), []string{"topic t=PUB"}},
		{"send v2", request(310, "a=p", "b=t"), []string{"topic t=PUB"}},
		{"send batch", request(320, "a=p", "b=t"), []string{"topic t=PUB"}},
		{"send v2 with the topic in the other spelling", request(310, "a=p", "topic=t"), []string{"topic t=PUB"}},
		{"send v2 with two topics", request(310, "b=t", "topic=u"), []string{"topic t=PUB", "topic u=PUB"}},
		{"send with the topic twice", request(10, "topic=t", "topic=u"), []string{"topic t=PUB", "topic u=PUB"}},
		{"send to a retry topic", request(310, "a=CLIENT_INNER_PRODUCER", "b=%RETRY%g"), []string{"group g=SUB"}},
		{"send to a DLQ topic", request(310, "a=p", "b=%DLQ%g"), []string{"topic %DLQ%g=PUB"}},
		{"send of a trace", request(310, "a=p", "b=RMQ_SYS_TRACE_TOPIC"), nil},
		{"reply", request(324, "producerGroup=p", "topic=DefaultCluster_REPLY_TOPIC"), nil},
		{"reply v2", request(325, "a=p", "b=DefaultCluster_REPLY_TOPIC"), nil},
		{"send to a reply topic", request(310, "a=p", "b=DefaultCluster_REPLY_TOPIC"), []string{"topic DefaultCluster_REPLY_TOPIC=PUB"}},
		{"reply to another topic", request(325, "a=p", "b=t"), []string{"topic t=PUB"}},
		{"reply to the trace topic", request(325, "a=p", "b=RMQ_SYS_TRACE_TOPIC"), []string{"topic RMQ_SYS_TRACE_TOPIC=PUB"}},
		{"recall", request(370, "producerGroup=p", "topic=t"), []string{"topic t=PUB"}},
		{"end of a transaction, 4.9", request(37, "producerGroup=p"), nil},
		{"end of a transaction, 5.x", request(37, "producerGroup=p", "topic=t"), []string{"topic t=PUB"}},
		{"send back", request(36, "group=g", "originTopic=t"), []string{"group g=SUB"}},
		{"pull", request(11, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"pull of the retry topic", request(11, "consumerGroup=g", "topic=%RETRY%g"), []string{"group g=SUB"}},
		{"lite pull", request(361, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"query of messages", request(12, "topic=t", "key=k"), []string{"topic t=SUB"}},
		{"query of an offset", request(14, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"update of an offset", request(15, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"reset of offsets", request(222, "group=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"unregister", request(35, "clientID=c", "consumerGroup=g"), []string{"group g=SUB"}},
		{"unregister of a producer", request(35, "clientID=c", "producerGroup=p"), nil},
		{"consumer list", request(38, "consumerGroup=g"), []string{"group g=SUB"}},
		{"heartbeat", withBody(request(34), heartbeatBody), []string{"group g=SUB", "topic t=SUB"}},
		{"heartbeat of a producer", withBody(request(34), `{"clientID":"c","producerDataSet":[{"groupName":"p"}]}`), nil},
		{"lock", withBody(request(41), `{"clientId":"c","consumerGroup":"g","mqSet":[{"topic":"t","queueId":1}]}`), []string{"group g=SUB", "topic t=SUB"}},
		{"unlock", withBody(request(42), `{"clientId":"c","consumerGroup":"g","mqSet":[{"topic":"t"},{"topic":"u"}]}`), []string{"group g=SUB", "topic t=SUB", "topic u=SUB"}},
		{"pop", request(200050, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"pop of another group's retry topic", request(200050, "consumerGroup=g", "topic=%RETRY%g_t"), []string{"group g_t=SUB", "group g=SUB"}},
		{"ack", request(200051, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"ack of a retry", request(200051, "consumerGroup=g", "topic=%RETRY%g_t"), []string{"group g=SUB"}},
		{"ack of a retry, version 2", request(200051, "consumerGroup=g", "topic=%RETRY%g+t"), []string{"group g=SUB"}},
		{"ack of another group's retry", request(200051, "consumerGroup=g", "topic=%RETRY%gx"), []string{"group gx=SUB", "group g=SUB"}},
		{"batch ack", withBody(request(200151), `{"acks":[{"c":"g","t":"t"},{"consumerGroup":"h","topic":"u"}]}`), []string{"group g=SUB", "topic t=SUB", "group h=SUB", "topic u=SUB"}},
		{"peek", request(200052, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"change of the invisible time", request(200053, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"notification", request(200054, "consumerGroup=g", "topic=t"), []string{"topic t=SUB", "group g=SUB"}},
		{"view of a message", request(33, "offset=1"), nil},
		{"maximum offset", request(30, "topic=t", "queueId=0"), nil},
		{"runtime info", request(28), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			signedBy(userKey, tt.cmd)
			for leftOut := -1; leftOut < len(tt.needs); leftOut++ {
				perms := map[string][]string{}
				for i, need := range tt.needs {
					if kind, entry, _ := strings.Cut(need, " "); i != leftOut {
						perms[kind] = append(perms[kind], `"`+entry+`"`)
					}
				}
				rules := parse(t, userRules("topicPerms: ["+strings.Join(perms["topic"], ", ")+"]", "groupPerms: ["+strings.Join(perms["group"], ", ")+"]"))
				err := rules.Check(elsewhere, tt.cmd)
				if leftOut < 0 {
					if err != nil {
						t.Errorf("with all permissions: %v", err)
					}
					continue
				}
				wantReason(t, err, NotPermitted)
				kind, entry, _ := strings.Cut(tt.needs[leftOut], " ")
				name, perm, _ := strings.Cut(entry, "=")
				var refusal *Refusal
				if errors.As(err, &refusal) {
					if !strings.HasPrefix(refusal.Remark(), "No default permission for "+kind+":"+name+";") || refusal.Needed.String() != perm {
						t.Errorf("without %s: %q", tt.needs[leftOut], refusal.Remark())
					}
				}
			}
		})
	}
}

func TestOnlyAdminsUseAdminCodes(t *testing.T) {
	t.Parallel()
	rules := parse(t, userRules("defaultTopicPerm: PUB|SUB", "defaultGroupPerm: SUB"))
	for _, code := range []protocol.Code{17, 18, 25, 50, 51, 53, 54, 200, 207, 215, 225, 306, 314, 316, 323, 329, 353, 401, 513, 2001, 2004, 3001, 3010, 5001} {
		wantReason(t, rules.Check(elsewhere, signedBy(userKey, request(code, "topic=t"))), NotAdmin)
		if err := rules.Check(elsewhere, signedBy(adminKey, request(code, "topic=t"))); err != nil {
			t.Errorf("admin, code %d: %v", code, err)
		}
	}
	for _, code := range []protocol.Code{26, 28, 52, 105, 202, 208, 2000, 2005, 3000, 3011} {
		if err := rules.Check(elsewhere, signedBy(userKey, request(code, "topic=t"))); err != nil {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

func TestAnAdminWithPermissionsIsBoundByThem(t *testing.T) {
	t.Parallel()
	send := signedBy(userKey, request(310, "b=t"))
	if err := parse(t, userRules("admin: true")).Check(elsewhere, send); err != nil {
		t.Errorf("without permissions: %v", err)
	}
	wantReason(t, parse(t, userRules("admin: true", "topicPerms: [u=PUB]")).Check(elsewhere, send), NotPermitted)
	wantReason(t, parse(t, userRules("admin: true", "groupPerms: [g=SUB]")).Check(elsewhere, send), NotPermitted)
}

func TestDefaultsHoldForWhatIsNotNamed(t *testing.T) {
	t.Parallel()
	rules := parse(t, userRules("defaultTopicPerm: PUB|SUB", "defaultGroupPerm: SUB", "topicPerms: [closed=DENY, out=PUB, '%RETRY%h=DENY']", "groupPerms: [shut=DENY]"))
	for _, tt := range []struct {
		cmd     *protocol.Command
		refused bool
	}{
		{request(310, "b=t"), false},
		{request(310, "b=out"), false},
		{request(310, "b=closed"), true},
		{request(11, "topic=t", "consumerGroup=g"), false},
		{request(11, "topic=out", "consumerGroup=g"), true},
		{request(11, "topic=t", "consumerGroup=shut"), true},
		{request(11, "topic=t", "consumerGroup=h"), true}, // denied by its retry topic
	} {
		err := rules.Check(elsewhere, signedBy(userKey, tt.cmd))
		if tt.refused {
			wantReason(t, err, NotPermitted)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestStepsAreInOrder(t *testing.T) {
	t.Parallel()
	rules := parse(t, "globalWhiteRemoteAddresses: [10.1.2.*]\n"+userRules("whiteRemoteAddress: 192.168.0.7"))
	everywhere := netip.MustParseAddr("10.1.2.3")
	home := netip.MustParseAddr("192.168.0.7")
	unsigned := request(17, "topic=t")
	for _, addr := range []netip.Addr{everywhere, netip.MustParseAddr("::ffff:10.1.2.3")} {
		if err := rules.Check(addr, unsigned); err != nil {
			t.Errorf("a white-listed address: %v", err)
		}
	}
	wantReason(t, rules.Check(home, unsigned), NoAccessKey)
	named := request(17, "topic=t", "AccessKey="+userKey)
	if err := rules.Check(home, named); err != nil {
		t.Errorf("an account's white-listed address: %v", err)
	}
	wantReason(t, rules.Check(home, request(17, "AccessKey=nobody1")), UnknownAccessKey)
	wantReason(t, rules.Check(elsewhere, named), BadSignature)
	wantReason(t, rules.Check(netip.Addr{}, named), BadSignature)
	wantReason(t, rules.Check(elsewhere, signedBy(userKey, request(17, "topic=t"))), NotAdmin)
	wrong := request(17, "topic=t")
	sign(wrong, adminKey, secretKey+"9")
	wantReason(t, rules.Check(elsewhere, wrong), BadSignature)
}

func TestABodyThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	rules := parse(t, userRules("defaultTopicPerm: PUB|SUB", "defaultGroupPerm: SUB"))
	for _, code := range []protocol.Code{34, 41, 42, 200151} {
		wantReason(t, rules.Check(elsewhere, signedBy(userKey, withBody(request(code), `{"consumerDataSet":[`))), Unreadable)
		wantReason(t, rules.Check(elsewhere, signedBy(userKey, request(code))), Unreadable)
	}
}

func TestRefusalsAnswerAsApache(t *testing.T) {
	t.Parallel()
	rules := parse(t, userRules())
	tests := []struct {
		cmd  *protocol.Command
		want string
	}{
		{request(310, "b=t"), "No accessKey is configured;"},
		{request(310, "b=t", "AccessKey=nobody1"), "No acl config for nobody1;"},
		{request(310, "b=t", "AccessKey="+strings.Repeat("x", 5000)), "No acl config for " + strings.Repeat("x", 128) + "…;"},
		{request(310, "b=t", "AccessKey="+userKey), "Check signature failed for accessKey=shopuser;"},
		{signedBy(userKey, request(25)), "Need admin permission for request code=25, but accessKey=shopuser is not;"},
		{signedBy(userKey, request(310, "b=t")), "No default permission for topic:t; accessKey=shopuser needs t=PUB in its topicPerms"},
		{signedBy(userKey, request(36, "group=g")), "No default permission for group:g; accessKey=shopuser needs g=SUB in its groupPerms"},
		{signedBy(userKey, withBody(request(34), "no")), "the body of HEART_BEAT cannot be read"},
	}
	for _, tt := range tests {
		var refusal *Refusal
		if err := rules.Check(elsewhere, tt.cmd); !errors.As(err, &refusal) {
			t.Errorf("got %v, want a refusal", err)
		} else if !strings.HasPrefix(refusal.Remark(), tt.want) || refusal.Code() != protocol.NoPermission || strings.Contains(err.Error(), secretKey) {
			t.Errorf("got %d %q, want %d %q…", refusal.Code(), refusal.Remark(), protocol.NoPermission, tt.want)
		}
	}
}

func TestRulesAreSharedByConnections(t *testing.T) {
	t.Parallel()
	rules := parse(t, userRules("topicPerms: [t=PUB]"))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 200 {
				good := withBody(request(310, "b=t"), strings.Repeat("x", i))
				bad := withBody(request(310, "b=t"), strings.Repeat("y", i+1))
				sign(good, userKey, secretKey)
				sign(bad, userKey, secretKey+"0")
				if err := rules.Check(elsewhere, good); err != nil {
					t.Error(err)
				}
				wantReason(t, rules.Check(elsewhere, bad), BadSignature)
			}
		})
	}
	wg.Wait()
}
