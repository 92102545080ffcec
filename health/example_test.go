package health_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/health"
)

func ExampleNew() {
	ctx := context.Background()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	checks := health.New(client) // the last Runner of rocketkit.RunUntilSignal
	rec := httptest.NewRecorder()
	checks.Ready().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz?format=text", nil))
	fmt.Print(rec.Code, "\n", rec.Body)
	// Output:
	// 200
	// live: true
	// ready: true
	// client: ok
	// name servers: ok; not asked yet
}
