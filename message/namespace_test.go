package message_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/rocketkit/rocketkit/message"
)

// As Java's NamespaceUtil, but that the system topics of 5.x, which 4.9 does not know,
// are everywhere.
func TestNamesAreInANamespaceAsApacheHasThem(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"4.9.7", "5.4.0"} {
		data, err := os.ReadFile("../internal/protocol/testdata/golden/" + version + "/table-namespaces.json")
		if err != nil {
			t.Fatal(err)
		}
		var rows []struct{ Namespace, Name, With, Without string }
		if err := json.Unmarshal(data, &rows); err != nil {
			t.Fatal(err)
		}
		if len(rows) < 100 {
			t.Fatalf("%d rows of %s", len(rows), version)
		}
		for _, r := range rows {
			if got := message.WithNamespace(r.Namespace, r.Name); got != r.With {
				t.Errorf("%s: %q in namespace %q is %q, Java says %q", version, r.Name, r.Namespace, got, r.With)
			}
			if got := message.WithoutNamespace(r.Namespace, r.Name); got != r.Without {
				t.Errorf("%s: %q without namespace %q is %q, Java says %q", version, r.Name, r.Namespace, got, r.Without)
			}
		}
	}
}

func TestANamespaceCanBeTakenOffAgain(t *testing.T) {
	t.Parallel()
	for _, ns := range []string{"", "a", "MQ_INST-1"} {
		for _, name := range []string{"orders", "%RETRY%pay", "%DLQ%pay", "other%orders", "a", "TBW102", "%RETRY%TBW102"} {
			in := message.WithNamespace(ns, name)
			if again := message.WithNamespace(ns, in); again != in {
				t.Errorf("%q in %q twice is %q", in, ns, again)
			}
			if got := message.WithoutNamespace(ns, in); got != name {
				t.Errorf("%q came back from %q as %q", name, ns, got)
			}
		}
	}
}

func TestNamespacesAreChecked(t *testing.T) {
	t.Parallel()
	for ns, ok := range map[string]bool{"": true, "shop": true, "MQ_INST-1": true, "a%b": false, "a|b": false, "a b": false, "ü": false, string(make([]byte, 64)): false} {
		if err := message.CheckNamespace(ns); (err == nil) != ok {
			t.Errorf("CheckNamespace(%q) is %v", ns, err)
		}
	}
}

func TestADeliveryIsNamedWithoutItsNamespace(t *testing.T) {
	t.Parallel()
	d := &message.Delivery{Topic: "%DLQ%shop%pay", Group: "shop%pay", Queue: message.Queue{Topic: "%RETRY%shop%pay", Broker: "a"}}
	d.SetRawProperties("RETRY_TOPIC\x01shop%orders\x02")
	d.SetNamespace("shop")
	if d.Topic != "%DLQ%pay" || d.Group != "pay" || d.Queue != (message.Queue{Topic: "%RETRY%pay", Broker: "a"}) || d.OriginTopic() != "orders" || d.Namespace() != "shop" {
		t.Errorf("got %+v, origin %q", d, d.OriginTopic())
	}
}

func ExampleWithNamespace() {
	fmt.Println(message.WithNamespace("shop", "orders"))
	fmt.Println(message.WithNamespace("shop", message.DLQTopic("pay")))
	// Output:
	// shop%orders
	// %DLQ%shop%pay
}
