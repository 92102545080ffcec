package generate_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/generate"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The files in testdata are what is generated, and they compile: other tests import them.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	files, err := generate.Files(t.Context(), ".", "./testdata/pay", "./testdata/names")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, filepath.ToSlash(f.Path))
		if *update {
			if err := f.Write(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if d := cmp.Diff(string(f.Want), string(f.Have)); d != "" || f.Stale() {
			t.Errorf("%s (-want +have):\n%s", f.Path, d)
		}
	}
	if d := cmp.Diff([]string{"testdata/names/rocketmq_gen.go", "testdata/pay/rocketmq_gen.go"}, paths); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

// The texts are the product: each says where, what and the remedy.
func TestEveryMistakeIsReportedAtItsLine(t *testing.T) {
	t.Parallel()
	_, err := generate.Files(t.Context(), "testdata", "./mistakes")
	var mistakes *generate.Mistakes
	if !errors.As(err, &mistakes) {
		t.Fatal(err)
	}
	const golden = "testdata/mistakes/mistakes.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, readErr := os.ReadFile(golden)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if d := cmp.Diff(string(want), err.Error()+"\n"); d != "" {
		t.Errorf("mistakes (-want +got):\n%s", d)
	}
}

// shop makes a module of one package.
func shop(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, "go.mod", "module example.com/shop\n\ngo 1.25\n")
	for name, text := range files {
		put(t, dir, name, text)
	}
	return dir
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const handler = "package shop\n\nimport \"context\"\n\n//rocketmq:listener topic=orders\nfunc OnOrder(context.Context, string) error { return nil }\n"

func TestAFileIsWrittenOnceAndRemovedWithItsDirectives(t *testing.T) {
	t.Parallel()
	dir := shop(t, map[string]string{"shop.go": handler, "other/other.go": "package other\n"})
	run := func() *generate.File {
		t.Helper()
		files, err := generate.Files(t.Context(), dir, "./...")
		if err != nil || len(files) != 1 || files[0].Path != "rocketmq_gen.go" {
			t.Fatalf("%v, %v", files, err)
		}
		return files[0]
	}
	f := run()
	if !f.Stale() || !strings.Contains(string(f.Want), `Topic:  "orders"`) {
		t.Errorf("%s", f.Want)
	}
	if err := f.Write(); err != nil {
		t.Fatal(err)
	}
	if f := run(); f.Stale() {
		t.Error("what was written is not up to date")
	}
	put(t, dir, "shop.go", strings.Replace(handler, "orders", "payments", 1))
	if f := run(); !f.Stale() {
		t.Error("a new topic does not count")
	}
	put(t, dir, "shop.go", "package shop\n")
	f = run()
	if !f.Stale() || f.Want != nil {
		t.Errorf("%s", f.Want)
	}
	if err := f.Write(); err != nil {
		t.Fatal(err)
	}
	if files, err := generate.Files(t.Context(), dir, "./..."); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestAFileOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := shop(t, map[string]string{"shop.go": handler, "rocketmq_gen.go": "package shop\n", "other/rocketmq_gen.go": "package other\n"})
	files, err := generate.Files(t.Context(), dir, "./...")
	if want := "rocketmq_gen.go:1: it is where the generated code goes, and was not generated; rename it"; err == nil || err.Error() != want || files != nil {
		t.Errorf("%v, %v, want %s", files, err, want)
	}
}

// A package may need what is not generated yet, and so may those that it imports.
func TestPackagesThatDoNotCompileYetAreRead(t *testing.T) {
	t.Parallel()
	dir := shop(t, map[string]string{
		"shop.go":        "package shop\n\nimport (\n\t\"context\"\n\n\t\"example.com/shop/stock\"\n)\n\nvar _ = NewListeners()\n\n//rocketmq:listener topic=a\nfunc On(context.Context, stock.Order) error { return nil }\n",
		"stock/stock.go": "package stock\n\nimport \"example.com/shop/order\"\n\ntype Order = order.Order\n\nvar _ = order.NewListeners()\n",
		"order/order.go": "package order\n\nimport \"context\"\n\ntype Order struct{}\n\n//rocketmq:listener topic=a\nfunc On(context.Context, Order) error { _ = NewListeners(); return nil }\n",
	})
	files, err := generate.Files(t.Context(), dir, "./...")
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for i, want := range []string{"consumer.Listener[Order]", "consumer.Listener[stock.Order]"} {
		if !strings.Contains(string(files[i].Want), want) {
			t.Errorf("%s has no %s", files[i].Want, want)
		}
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	dir := shop(t, map[string]string{"shop.go": handler + "func {\n"})
	if _, err := generate.Files(t.Context(), dir, "./..."); err == nil || !strings.Contains(err.Error(), "shop.go:7:6: expected 'IDENT'") {
		t.Errorf("a syntax error: %v", err)
	}
	put(t, dir, "shop.go", strings.Replace(handler, "string", "Order", 1))
	if _, err := generate.Files(t.Context(), dir, "./..."); err == nil || err.Error() != "shop.go:5: OnOrder does not compile: undefined: Order" {
		t.Errorf("a type that is not there: %v", err)
	}
	put(t, dir, "shop.go", "package shop\n\nimport (\n\t\"context\"\n\n\t\"example.com/none\"\n)\n\n//rocketmq:listener topic=orders\nfunc On(context.Context, []none.Order) error { return nil }\n")
	if _, err := generate.Files(t.Context(), dir, "./..."); err == nil || !strings.HasPrefix(err.Error(), "shop.go:9: On does not compile: could not import example.com/none") {
		t.Errorf("an import that is not there: %v", err)
	}
	put(t, dir, "shop.go", "package shop\n\n//rocketmq:wire\n")
	if _, err := generate.Files(t.Context(), dir, "./..."); err == nil || err.Error() != "shop.go:3: //rocketmq:wire stands in a package without handlers; put it where they are, or remove it" {
		t.Errorf("a provider set of nothing: %v", err)
	}
	if _, err := generate.Files(t.Context(), dir, "./none"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no such package: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := generate.Files(ctx, dir, "./..."); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended ctx: %v", err)
	}
}
