package acl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reading of YAML nodes. Apache reads YAML 1.1 with SnakeYAML, which turns words into
// other values (on, 0123, 1_000): whatever is read in two ways is refused, with quotes
// as the remedy.

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// resolve follows an alias.
func (p *parser) resolve(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.AliasNode {
		return n
	}
	if p.aliases++; p.aliases > maxAliases {
		if p.aliases == maxAliases+1 {
			p.fail(n.Line, fmt.Sprintf("more than %d aliases", maxAliases), "write the values out")
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line}
	}
	return n.Alias
}

// mapping calls f for each known key, and reports unknown and repeated ones; read is
// false when node is no mapping.
func (p *parser) mapping(node *yaml.Node, what string, known []string, f func(key string, value *yaml.Node)) (read bool) {
	node = p.resolve(node)
	if node.Kind != yaml.MappingNode {
		p.fail(node.Line, what+" is no mapping", "write \"key: value\" lines, the keys being "+strings.Join(known, ", "))
		return false
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			p.fail(key.Line, fmt.Sprintf("unknown key %q", clip(key.Value)), unknownRemedy(key.Value, known))
		case seen[key.Value]:
			p.fail(key.Line, fmt.Sprintf("%s occurs twice", key.Value), "keep one")
		default:
			seen[key.Value] = true
			f(key.Value, p.resolve(value))
		}
	}
	return true
}

func unknownRemedy(key string, known []string) string {
	plain := strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(key))
	for _, k := range known {
		if l := strings.ToLower(k); plain == l || plain+"s" == l || plain == l+"s" {
			return "did you mean " + k + "?"
		}
	}
	return "known are " + strings.Join(known, ", ")
}

// name lets errors name an account by its access key.
func (p *parser) name(node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if v := node.Content[i+1]; node.Content[i].Value == "accessKey" && v.Kind == yaml.ScalarNode && v.Value != "" {
			p.account = strconv.Quote(clip(v.Value))
			return
		}
	}
}

// sequence returns the entries of a list; left out and null are empty.
func (p *parser) sequence(node *yaml.Node, key string) []*yaml.Node {
	if isNull(node) {
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		p.fail(node.Line, key+" is no list", "write each entry in a line that begins with \"- \"")
		return nil
	}
	entries := make([]*yaml.Node, len(node.Content))
	for i, n := range node.Content {
		entries[i] = p.resolve(n)
	}
	return entries
}

// text reads a string, or a number that can only be read as written.
func (p *parser) text(n *yaml.Node, key string) string {
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return n.Value
	case n.Kind == yaml.ScalarNode && n.Tag == "!!int":
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil && strconv.FormatInt(i, 10) == n.Value {
			return n.Value
		}
	case isNull(n):
		return ""
	}
	p.fail(n.Line, key+" has something that is no text", "put it into quotes")
	return ""
}

// flag reads a boolean of YAML 1.1; null is false.
func (p *parser) flag(n *yaml.Node, key string) bool {
	if isNull(n) {
		return false
	}
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!bool" || n.Tag == "!!str") {
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on":
			return true
		case "false", "no", "off":
			return false
		}
	}
	p.fail(n.Line, key+" is no boolean", "write true or false")
	return false
}

func (p *parser) perm(n *yaml.Node, key string) Perm {
	s := p.text(n, key)
	if isNull(n) {
		return Deny
	}
	perm, ok := parsePerm(s)
	if !ok {
		p.fail(n.Line, fmt.Sprintf("%s is %q", key, clip(s)), permRemedy)
	}
	return perm
}

// pattern reads an address pattern; left out, null and blank match nothing.
func (p *parser) pattern(n *yaml.Node, key string) Pattern {
	s := p.text(n, key)
	pattern, err := ParsePattern(s)
	var bad *PatternError
	if errors.As(err, &bad) {
		p.fail(n.Line, fmt.Sprintf("%s: address pattern %q %s", key, clip(s), bad.Problem), bad.Remedy)
	}
	return pattern
}
