package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// maxFileSize bounds a broker.conf; Apache's are a few hundred bytes.
const maxFileSize = 1 << 20

// KeyError is an entry of broker.conf that cannot be used.
type KeyError struct {
	Line    int // 0 when the value does not come from a file
	Key     string
	Value   string
	Want    string // what a value must be; "" for an unknown key
	Nearest string // the known key that looks much like an unknown one; "" for none
}

func (e *KeyError) Error() string {
	at := ""
	if e.Line > 0 {
		at = fmt.Sprintf("line %d: ", e.Line)
	}
	switch {
	case e.Want == "" && e.Nearest == "":
		return fmt.Sprintf("%sunknown key %q, neither broker-lite nor Apache RocketMQ has it; delete the line", at, e.Key)
	case e.Want == "":
		return fmt.Sprintf("%sunknown key %q, neither broker-lite nor Apache RocketMQ has it; did you mean %q?", at, e.Key, e.Nearest)
	}
	return fmt.Sprintf("%s%s=%s: want %s", at, e.Key, e.Value, e.Want)
}

// ReadFile sets in c what the broker.conf at path says. See Read.
func (c *Config) ReadFile(path string) (warnings []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("broker configuration: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && len(text) > maxFileSize {
		err = fmt.Errorf("larger than %d bytes, is it a broker.conf?", maxFileSize)
	}
	if err != nil {
		return nil, fmt.Errorf("broker configuration %s: %w", path, err)
	}
	warnings, err = c.Read(string(text))
	if err != nil {
		between := " "
		if strings.Contains(err.Error(), "\n") {
			between = "\n" // a list
		}
		return warnings, fmt.Errorf("broker configuration %s:%s%w", path, between, err)
	}
	return warnings, nil
}

// Read sets in c what a broker.conf's text says and leaves the rest as it was.
// The warnings name keys that have no effect; the error joins a *KeyError or
// *SyntaxError for everything that cannot be used, in the file's order. c may
// be partly changed when it fails.
func (c *Config) Read(text string) (warnings []string, err error) {
	props, errs := ParseProperties(text)
	known := map[string]key{}
	for _, k := range keys() {
		known[k.name] = k
		if k.alias != "" {
			known[k.alias] = k
		}
	}
	setBy := map[string]Property{} // by the key's first spelling
	for _, p := range props {
		value := strings.TrimSpace(p.Value)
		k, ok := known[p.Key]
		switch {
		case !ok && onlyApache(p.Key):
			warnings = append(warnings, fmt.Sprintf("line %d: %s has no effect: only Apache RocketMQ has it", p.Line, p.Key))
			continue
		case !ok:
			errs = append(errs, &KeyError{Line: p.Line, Key: p.Key, Value: value, Nearest: nearestKey(p.Key)})
			continue
		}
		if before, twice := setBy[k.name]; twice {
			warnings = append(warnings, fmt.Sprintf("line %d: %s is set again (before: %s on line %d); the last one counts", p.Line, p.Key, before.Key, before.Line))
		}
		setBy[k.name] = p
		if err := k.set(c, value); err != nil {
			errs = append(errs, &KeyError{Line: p.Line, Key: p.Key, Value: value, Want: err.Error()})
		}
	}
	slices.SortStableFunc(errs, func(a, b error) int { return lineOf(a) - lineOf(b) })
	return warnings, errors.Join(errs...)
}

func lineOf(err error) int {
	switch e := err.(type) {
	case *KeyError:
		return e.Line
	case *SyntaxError:
		return e.Line
	}
	return 0
}

// Validate checks what concerns more than one key, after the file and the
// command line have been applied, and puts right what Apache puts right. The
// error joins all mistakes.
func (c *Config) Validate() (warnings []string, err error) {
	var errs []error
	bad := func(key, value, want string) {
		errs = append(errs, &KeyError{Key: key, Value: value, Want: want})
	}
	if strings.TrimSpace(c.ClusterName) == "" {
		bad("brokerClusterName", c.ClusterName, "a name")
	}
	if strings.TrimSpace(c.BrokerName) == "" {
		bad("brokerName", c.BrokerName, "a name")
	}
	if c.StorePath == "" {
		bad("storePathRootDir", "", "a directory")
	}
	if _, err := netip.ParseAddr(c.BindAddress); err != nil {
		bad("bindAddress", c.BindAddress, "an IP address, such as 0.0.0.0 or 127.0.0.1")
	}
	if strings.ContainsAny(c.BrokerIP1, " \t/;,") {
		bad("brokerIP1", c.BrokerIP1, "one IP address or host name, without a port")
	}
	switch c.Role {
	case RoleSlave:
		errs = append(errs, fmt.Errorf("brokerRole=SLAVE (brokerId=%d): broker-lite does not replicate and cannot be a slave; set brokerRole=ASYNC_MASTER, or run Apache RocketMQ where slaves are needed", c.BrokerID))
	case RoleSyncMaster:
		warnings = append(warnings, "brokerRole=SYNC_MASTER: broker-lite has no slaves; messages are stored, and sends answered with SLAVE_NOT_AVAILABLE")
	}
	if c.Role != RoleSlave && c.BrokerID != 0 {
		warnings = append(warnings, fmt.Sprintf("brokerId=%d: a master's id is 0; it is taken as 0, as Apache RocketMQ does", c.BrokerID))
		c.BrokerID = 0
	}
	if least := c.MaxMessageSize + frameRoom; c.MaxFrame < least {
		bad("frameMaxLength", fmt.Sprint(c.MaxFrame), fmt.Sprintf("at least %d, so that a message of maxMessageSize=%d fits into a frame with its header and properties; raise frameMaxLength, or lower maxMessageSize to %d",
			least, c.MaxMessageSize, max(c.MaxFrame-frameRoom, 1)))
	}
	if least := int64(c.MaxMessageSize + frameRoom); c.CommitLogFileSize < least {
		bad("mappedFileSizeCommitLog", fmt.Sprint(c.CommitLogFileSize), fmt.Sprintf("at least %d, so that a message of maxMessageSize=%d fits into a file", least, c.MaxMessageSize))
	}
	return warnings, errors.Join(errs...)
}

// Print writes every key that broker-lite reads as key=value, Apache's form of
// "-m". What it writes is a valid broker.conf.
func (c *Config) Print(w io.Writer) error {
	var b strings.Builder
	for _, k := range keys() {
		b.WriteString(k.name + "=" + EscapeValue(k.get(c)) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
