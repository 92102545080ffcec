package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/internal/nearest"
)

// prefix of the variables that are keys.
func (f *form) prefix() string { return strings.ToUpper(f.name) + "_" }

// alike are the errors of a program that has two keys with one variable.
func alike(forms []*form) (errs []error) {
	keys := map[string]string{}
	for i, f := range forms {
		for _, path := range f.paths {
			name := f.prefix() + variableName(path)
			key := f.name + "." + path
			if i > 0 && keys[name] != "" {
				errs = append(errs, fmt.Errorf("config: the keys %s and %s have the same variable %s; call one otherwise", keys[name], key, strings.ReplaceAll(name, "#", "0")))
			}
			keys[name] = key
		}
	}
	return errs
}

// takes reports whether a variable of that name is one of the form's keys.
func (f *form) takes(name string) bool {
	for _, named := range f.schema.named("") {
		if named == name {
			return true
		}
	}
	rest, ours := strings.CutPrefix(name, f.prefix())
	pattern, _ := indexed(rest)
	_, ok := f.vars[pattern]
	return ours && ok
}

// overlay writes the environment's values over those that are said. What another of the forms takes
// is no slip.
func (f *form) overlay(said tree, environ []string, forms []*form) []error {
	vars, prefix := f.vars, f.prefix()
	var errs []error
	environ = slices.Clone(environ)
	slices.SortFunc(environ, inOrder) // so that list elements are added in order
	for path, name := range f.schema.named("") {
		if text := lookup(environ, name); text != "" {
			if err := said.insert(path, text, "variable "+name); err != nil {
				errs = append(errs, fmt.Errorf("config: variable %s: %w", name, err))
			}
		}
	}
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || text == "" || isServiceLink(name, text, environ) {
			continue
		}
		pattern, indices := indexed(rest)
		v, ok := vars[pattern]
		if !ok {
			if slices.ContainsFunc(forms, func(f *form) bool { return f.takes(name) }) {
				continue
			}
			if near := nearVariable(rest, vars); near != "" {
				errs = append(errs, fmt.Errorf("config: unknown variable %s; did you mean %s%s?", name, prefix, near))
			}
			continue
		}
		if v.millis {
			text, _ = millis(text).(string)
		}
		if err := said.insert(v.path(indices), text, "variable "+name); err != nil {
			errs = append(errs, fmt.Errorf("config: variable %s: %w", name, err))
		}
	}
	return errs
}

// isServiceLink reports whether a variable is one that Kubernetes gives each container for
// each service: of the service shop SHOP_PORT=tcp://10.0.0.1:80, beside SHOP_SERVICE_HOST.
func isServiceLink(name, text string, environ []string) bool {
	service, ok := strings.CutSuffix(name, "PORT")
	return ok && strings.Contains(text, "://") && lookup(environ, service+"SERVICE_HOST") != ""
}

// variable is a key that the environment can set.
type variable struct {
	to     string // its path, with [] for each index
	millis bool
}

func (v variable) path(indices []int) string {
	path := v.to
	for _, i := range indices {
		path = strings.Replace(path, "[]", "["+strconv.Itoa(i)+"]", 1)
	}
	return path
}

// variables are all keys by the names of their variables, without the prefix
// and with # for an index.
func (f *form) variables() map[string]variable {
	all := map[string]variable{}
	for _, path := range f.paths {
		all[variableName(path)] = variable{to: path}
	}
	for from, a := range f.aliases {
		all[variableName(from)] = variable(a)
	}
	for camel, key := range f.java { // Spring's variables have no hyphens
		if v, ok := all[variableName(key)]; ok {
			all[variableName(camel)] = v
		}
	}
	return all
}

func variableName(path string) string {
	return strings.ToUpper(strings.NewReplacer("[]", "_#", ".", "_").Replace(path))
}

// variableOf is the name for a path with its indices.
func variableOf(path string) string {
	return strings.ToUpper(strings.NewReplacer("[", "_", "]", "", ".", "_").Replace(path))
}

// indexed replaces the numbers in a variable's name.
func indexed(name string) (pattern string, indices []int) {
	parts := strings.Split(name, "_")
	for i, p := range parts {
		if n, err := strconv.Atoi(p); err == nil && n >= 0 {
			parts[i] = "#"
			indices = append(indices, n)
		}
	}
	return strings.Join(parts, "_"), indices
}

// nearVariable is the known variable that name differs from by a slip, "" when
// there is none.
func nearVariable(name string, vars map[string]variable) string {
	const slip, shortest = 2, 6
	if len(name) < shortest {
		return ""
	}
	best, bestDistance := "", slip+1
	for v := range vars {
		if d := nearest.Distance(name, v); d < bestDistance || d == bestDistance && v < best {
			best, bestDistance = v, d
		}
	}
	return best
}
