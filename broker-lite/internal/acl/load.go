package acl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Limits on the file: far above any real one, so that a wrong path is an error and not
// a long wait.
const (
	maxFileSize = 16 << 20
	maxErrors   = 20
	maxAliases  = 50 // as SnakeYAML's
)

func readFile(fsys vfs.FS, name string) (data []byte, err error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("acl: read the rules: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("acl: read the rules: %w", err)
	}
	if size > maxFileSize {
		return nil, &FileError{File: name, Problem: fmt.Sprintf("is %d bytes long, at most %d are read", size, maxFileSize), Remedy: "name the plain_acl.yml"}
	}
	data = make([]byte, size)
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("acl: read %s: %d of %d bytes: %w", name, n, size, err)
	}
	return data, nil
}

// Parse reads the rules of a plain_acl.yml of this name. Its error joins a [*FileError]
// for each thing that is wrong.
func Parse(name string, data []byte) (*Rules, error) {
	p := parser{file: name, rules: &Rules{accounts: make(map[string]*account)}}
	if root := p.document(data); root != nil {
		p.top(root)
	}
	if p.more > 0 {
		p.errs = append(p.errs, &FileError{File: name, Problem: fmt.Sprintf("%d more mistakes", p.more)})
	}
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return p.rules, nil
}

// parser collects what is wrong in one file. account names the one being read.
type parser struct {
	file    string
	rules   *Rules
	account string
	errs    []error
	more    int // mistakes beyond maxErrors
	aliases int
}

func (p *parser) fail(line int, problem, remedy string) {
	if len(p.errs) == maxErrors {
		p.more++
		return
	}
	p.errs = append(p.errs, &FileError{File: p.file, Line: line, Account: p.account, Problem: problem, Remedy: remedy})
}

// document returns the file's one document.
func (p *parser) document(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && isNull(doc.Content[0]) {
		p.fail(0, "has no rules, so that nobody could connect", "add accounts, or switch ACL off (aclEnable=false)")
		return nil
	}
	if err == nil {
		if err = dec.Decode(&second); errors.Is(err, io.EOF) {
			return doc.Content[0]
		} else if err == nil {
			p.fail(second.Line, "is a second YAML document", "write one")
			return nil
		}
	}
	p.fail(0, strings.TrimPrefix(err.Error(), "yaml: "), "write YAML with spaces for indentation, and put patterns that begin with * or { and keys that YAML reads as something else into quotes")
	return nil
}

func (p *parser) top(root *yaml.Node) {
	p.mapping(root, "the file", []string{"globalWhiteRemoteAddresses", "accounts", "dataVersion"}, func(key string, value *yaml.Node) {
		switch key {
		case "globalWhiteRemoteAddresses":
			for _, n := range p.sequence(value, key) {
				p.rules.white = append(p.rules.white, p.pattern(n, key))
			}
		case "accounts":
			for i, n := range p.sequence(value, key) {
				p.account = fmt.Sprintf("accounts[%d]", i)
				p.readAccount(n)
				p.account = ""
			}
		}
		// dataVersion is what mqadmin notes in the file: it says nothing about rules.
	})
}

var accountKeys = []string{"accessKey", "secretKey", "whiteRemoteAddress", "admin", "defaultTopicPerm", "defaultGroupPerm", "topicPerms", "groupPerms"}

func (p *parser) readAccount(node *yaml.Node) {
	a := &account{topics: make(map[string]Perm), groups: make(map[string]Perm)}
	var secret string
	p.name(node)
	read := p.mapping(node, "an account", accountKeys, func(key string, value *yaml.Node) {
		switch key {
		case "accessKey":
			a.accessKey = p.text(value, key)
		case "secretKey":
			secret = p.text(value, key)
		case "whiteRemoteAddress":
			a.white = p.pattern(value, key)
		case "admin":
			a.admin = p.flag(value, key)
		case "defaultTopicPerm":
			a.topicPerm = p.perm(value, key)
		case "defaultGroupPerm":
			a.groupPerm = p.perm(value, key)
		case "topicPerms", "groupPerms":
			p.perms(a, value, key)
		}
	})
	if !read {
		return
	}
	p.checkKeys(node.Line, a, secret)
	if p.rules.accounts[a.accessKey] != nil {
		p.fail(node.Line, "occurs twice", "merge the two")
		return
	}
	key := []byte(secret)
	a.verifiers.New = func() any { return newVerifier(key) }
	p.rules.accounts[a.accessKey] = a
}

// checkKeys wants both keys longer than six, counted as Java counts.
func (p *parser) checkKeys(line int, a *account, secret string) {
	const longer = 6
	for _, k := range [][2]string{{"accessKey", a.accessKey}, {"secretKey", secret}} {
		if n := lengthJava(k[1]); n <= longer {
			p.fail(line, fmt.Sprintf("the %s has %d characters", k[0], n), "RocketMQ wants more than 6")
		}
	}
}

func lengthJava(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// perms reads "name=PERM" entries. A topic %RETRY%g stands for group g.
func (p *parser) perms(a *account, value *yaml.Node, key string) {
	for _, n := range p.sequence(value, key) {
		entry := p.text(n, key)
		name, word, ok := strings.Cut(entry, "=")
		name = trimJava(name)
		if !ok || name == "" || strings.Contains(word, "=") {
			p.fail(n.Line, fmt.Sprintf("%s has %q", key, clip(entry)), "write name=PERM, such as topicA=PUB")
			continue
		}
		perm, ok := parsePerm(word)
		if !ok {
			p.fail(n.Line, fmt.Sprintf("%s gives %s the permission %q", key, clip(name), clip(word)), permRemedy)
			continue
		}
		table := a.topics
		if group, retry := strings.CutPrefix(name, retryPrefix); retry && key == "topicPerms" {
			table, name = a.groups, group
		} else if key == "groupPerms" {
			table = a.groups
		}
		if _, twice := table[name]; twice {
			p.fail(n.Line, fmt.Sprintf("%s names %s twice", key, clip(name)), "keep one")
		}
		table[name], a.restricted = perm, true
	}
}
