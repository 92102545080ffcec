package load

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/internal/nearest"
)

// root is the section that holds the configuration in a file that it shares
// with others.
const root = "rocketmq"

// normalise turns a file's settings into trees of known keys, one for each form: it takes
// the sections, those of the application and "rocketmq", if there is one, splits dotted
// keys, and resolves spellings and aliases.
func normalise(settings map[string]any, forms []*form) ([]tree, []error) {
	entries := flatten(nil, entry{}, settings)
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.spelled, b.spelled) })
	has := map[*form]bool{} // the file has its section
	for _, e := range entries {
		for _, f := range forms {
			if _, mine := f.under(e.path); mine {
				has[f] = true
			}
		}
	}
	all := make([]*normaliser, len(forms))
	for i, f := range forms {
		all[i] = &normaliser{form: f, values: map[string]value{}, shared: has[f]}
	}
	var errs []error
	named := map[string]bool{}
	for _, e := range entries {
		if n, rest := whose(e.path, all); n == nil {
			if name, ok := spelledNearly(e.path, forms, has); ok {
				if at := sectionOf(e.spelled); !named[at] {
					errs = append(errs, fmt.Errorf("unknown section %q; there is none %q here: did you mean that?", at, name))
					named[at] = true
				}
			} else if !has[forms[0]] {
				all[0].add(e) // all of the file is the client's
			}
		} else {
			e.path = rest
			n.add(e)
		}
	}
	trees := make([]tree, len(forms))
	for i, n := range all {
		trees[i] = n.tree()
		errs = append(errs, n.errs...)
	}
	return trees, errs
}

// whose is the section that a path is in, nil for none.
func whose(path string, all []*normaliser) (n *normaliser, rest string) {
	for _, n := range all {
		if rest, mine := n.under(path); mine {
			return n, rest
		}
	}
	return nil, path
}

// override writes what was Set into the trees, and returns which of the client's keys were.
func override(trees []tree, forms []*form, sets []entry) (clients map[string]bool, errs []error) {
	clients = map[string]bool{}
	for _, e := range sets {
		i := max(0, slices.IndexFunc(forms, func(f *form) bool { _, mine := f.under(e.path); return mine }))
		n := &normaliser{form: forms[i], values: map[string]value{}, shared: true}
		e.path, _ = strings.CutPrefix(e.path, forms[i].name+".")
		n.add(e)
		for path, v := range n.values {
			if err := trees[i].insert(path, v.v, e.from); err != nil {
				n.errs = append(n.errs, err)
			}
			clients[path] = clients[path] || i == 0
		}
		for _, err := range n.errs {
			errs = append(errs, fmt.Errorf("config: %w", err))
		}
	}
	return clients, errs
}

// tree has the values at their paths.
func (n *normaliser) tree() tree {
	said := newTree()
	for _, path := range slices.SortedFunc(maps.Keys(n.values), inOrder) {
		if err := said.insert(path, n.values[path].v, n.values[path].spelled); err != nil {
			n.errs = append(n.errs, err)
		}
	}
	return said
}

// inOrder compares paths so that a list's elements come in order.
func inOrder(a, b string) int { return strings.Compare(padded(a), padded(b)) }

// padded makes the numbers in a path, which [ or _ precedes, equally long.
func padded(path string) string {
	var b strings.Builder
	for path != "" {
		at := strings.IndexAny(path, "0123456789")
		if at < 0 {
			break
		}
		b.WriteString(path[:at])
		rest := strings.TrimLeft(path[at:], "0123456789")
		fmt.Fprintf(&b, "%20s", path[at:len(path)-len(rest)])
		path = rest
	}
	b.WriteString(path)
	return b.String()
}

// entry is one leaf of a file.
type entry struct {
	path    string // like producer.group and consumers[0].group, in snake case
	spelled string // as the file has it
	from    string // of one that is Set
	v       any
}

// flatten appends the leaves of v, which stands at e.
func flatten(to []entry, e entry, v any) []entry {
	switch v := v.(type) {
	case map[string]any:
		for k, sub := range v {
			at := entry{path: strings.ReplaceAll(strings.TrimSpace(k), "-", "_"), spelled: k}
			if e.path != "" {
				at.path, at.spelled = e.path+"."+at.path, e.spelled+"."+k
			}
			to = flatten(to, at, sub)
		}
		if len(v) == 0 && e.path != "" {
			to = append(to, e)
		}
		return to
	case []any:
		sections := len(v) > 0
		for _, sub := range v {
			_, ok := sub.(map[string]any)
			sections = sections && ok
		}
		if sections {
			for i, sub := range v {
				to = flatten(to, entry{path: fmt.Sprintf("%s[%d]", e.path, i), spelled: fmt.Sprintf("%s[%d]", e.spelled, i)}, sub)
			}
			return to
		}
	}
	e.v = v
	return append(to, e)
}

type value struct {
	v       any
	spelled string
}

// normaliser takes the keys of one form.
type normaliser struct {
	*form
	values map[string]value // by known path
	errs   []error
	shared bool // they are in a section
}

// add takes one leaf.
func (n *normaliser) add(e entry) {
	path, v := n.snakeCase(e.path), e.v
	if a, ok := n.aliases[path]; ok {
		path = a.to
		if a.millis {
			v = millis(v)
		}
	}
	at, ok := n.find(path)
	switch {
	case !ok:
		err := n.unknown(path, e.spelled)
		if !slices.ContainsFunc(n.errs, func(said error) bool { return said.Error() == err.Error() }) { // a section once
			n.errs = append(n.errs, err)
		}
		return
	case v == nil:
		return // "key:" without a value
	case at.kind != leaf && !emptyList(v):
		n.errs = append(n.errs, fmt.Errorf("%q holds keys, not a value", e.spelled))
		return
	}
	if hasPlaceholder(v) {
		n.errs = append(n.errs, fmt.Errorf("%q has a placeholder ${…}, which only the settings of handlers may have; leave the key out and set %s%s",
			e.spelled, n.prefix(), variableOf(path)))
		return
	}
	if old, ok := n.values[path]; ok && !reflect.DeepEqual(old.v, v) {
		n.errs = append(n.errs, fmt.Errorf("%q and %q are one key and have different values", old.spelled, e.spelled))
		return
	}
	n.values[path] = value{v, e.spelled}
}

// hasPlaceholder reports whether Spring would look v up.
func hasPlaceholder(v any) bool {
	switch v := v.(type) {
	case string:
		_, rest, ok := strings.Cut(v, "${")
		return ok && strings.Contains(rest, "}")
	case []any:
		return slices.ContainsFunc(v, hasPlaceholder)
	}
	return false
}

func emptyList(v any) bool {
	l, ok := v.([]any)
	return ok && len(l) == 0
}

// millis is rocketmq-spring's bare number of ms as a duration.
func millis(v any) any {
	text := fmt.Sprint(v)
	if _, err := strconv.Atoi(text); err == nil {
		return text + "ms"
	}
	return v
}

// find looks a path up in the schema.
func (n *normaliser) find(path string) (*schema, bool) {
	at := n.schema
	steps := strings.Split(path, ".")
	for i, step := range steps {
		name, _, indexed := strings.Cut(step, "[")
		next, ok := at.keys[name]
		switch {
		case !ok, indexed && next.kind != list, !indexed && next.kind == list && i < len(steps)-1:
			return nil, false
		}
		at = next
	}
	return at, true
}

func (n *normaliser) unknown(path, spelled string) error {
	for known := path; known != ""; known = known[:max(0, strings.LastIndexByte(known, '.'))] {
		if remedy, ok := n.foreign[n.snakeCase(known)]; ok {
			return fmt.Errorf("unknown key %q of rocketmq-spring: %s", spelled, remedy)
		}
	}
	if !n.shared && n.elsewhere(path) {
		return fmt.Errorf("unknown section %q; where a file has other sections too, the client's keys stand in a section %q, which this one has not", sectionOf(spelled), root)
	}
	if list, below, ok := n.unlisted(path); ok {
		return fmt.Errorf("unknown key %q; %s is a list: %[2]s: [{%s: …}]", spelled, list, below)
	}
	near := nearestPath(path, n.paths)
	if nearest.To(path, []string{near}) == "" && nearest.To(lastName(path), []string{lastName(near)}) == "" {
		known := slices.Sorted(maps.Keys(n.schema.keys))
		return fmt.Errorf("unknown key %q; there is none like it in section %q, which has %s", spelled, n.name, strings.Join(known, ", "))
	}
	return fmt.Errorf("unknown key %q; the nearest is %q", spelled, near)
}

// unlisted finds a list in a path that says what only an element of the list has.
func (n *normaliser) unlisted(path string) (name, below string, ok bool) {
	at, steps := n.schema, strings.Split(path, ".")
	for i, step := range steps {
		name, _, indexed := strings.Cut(step, "[")
		if at = at.keys[name]; at == nil || i == len(steps)-1 {
			break
		}
		if at.kind == list && !indexed {
			below, _, _ = strings.Cut(steps[i+1], "[")
			return name, below, at.keys[below] != nil
		}
	}
	return "", "", false
}

// sectionOf is the section that a path is in.
func sectionOf(path string) string { return path[:max(0, strings.IndexAny(path+".", ".["))] }

// elsewhere reports whether a path is of a section that no slip makes one of ours.
func (n *normaliser) elsewhere(path string) bool {
	const slip = 2
	at := strings.IndexAny(path, ".[")
	ok := at > 0
	for ours := range n.schema.keys {
		ok = ok && nearest.Distance(path[:at], ours) > slip
	}
	return ok
}

// insert puts a value at its path.
func insert(tree map[string]any, path string, v any) error {
	steps := strings.Split(path, ".")
	for i, step := range steps {
		name, index, indexed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		if i == len(steps)-1 && !indexed {
			tree[name] = v
			return nil
		}
		if !indexed {
			sub, ok := tree[name].(map[string]any)
			if !ok {
				sub = map[string]any{}
				tree[name] = sub
			}
			tree = sub
			continue
		}
		elems, _ := tree[name].([]any)
		at, err := strconv.Atoi(index)
		if err != nil || at < 0 || at > len(elems) {
			return fmt.Errorf("%s: index %q does not follow on %d elements", path, index, len(elems))
		}
		if at == len(elems) {
			elems = append(elems, map[string]any{})
			tree[name] = elems
		}
		sub, ok := elems[at].(map[string]any)
		if !ok || i == len(steps)-1 {
			return fmt.Errorf("%s: an element is a section with keys", path)
		}
		tree = sub
	}
	return nil
}
