package apache

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// AdminLimit is how long one command of [AdminAll] may take.
const AdminLimit = 15 * time.Second

// AdminOutput is what a command of mqadmin printed.
type AdminOutput struct {
	// Out and Err are its standard output, and its standard error with the stack
	// trace of what it threw.
	Out, Err string
	// Late: it was left to itself after AdminLimit. Refused: its command line is
	// wrong, or there is no such command.
	Late, Refused bool
	Took          time.Duration
}

// AdminAll runs commands of Apache's mqadmin, one after the other, in one JVM, and
// returns what each printed. A command is its words, such as {"topicRoute", "-n",
// server.NameServer(), "-t", "t"}. mqadmin tells failures in its output only.
//
// Three more are there: {"commands"} prints the names of all commands; {"call",
// method, words..., "-n", server.NameServer()} calls a method of DefaultMQAdminExt,
// the tools' library, and prints its result as JSON; {"account", accessKey,
// secretKey} makes the commands after it sign, by way of conf/tools.yml.
func AdminAll(ctx context.Context, version string, commands [][]string) ([]AdminOutput, error) {
	args := []string{strconv.FormatInt(AdminLimit.Milliseconds(), 10)}
	for _, words := range commands {
		line := strings.Join(words, "\n")
		if len(words) == 0 || strings.Count(line, "\n") != len(words)-1 {
			return nil, fmt.Errorf("apache: the command %q has no words, or one with a line feed", words)
		}
		args = append(args, line)
	}
	out, err := Program{
		Version: version,
		JVM:     append(shortLived(), "-Drocketkit.log=OFF"), // what is logged is not what is printed
		Main:    "admin.Admin",
		Args:    args,
	}.Run(ctx)
	if err != nil {
		return nil, err
	}
	outputs, err := parseAdmin(out)
	if err == nil && len(outputs) != len(commands) {
		err = fmt.Errorf("apache: mqadmin ran %d of %d commands", len(outputs), len(commands))
	}
	return outputs, err
}

// parseAdmin reads the lines of admin.Admin: an outcome, milliseconds and two texts
// in Base64, each after an equals sign.
func parseAdmin(text string) ([]AdminOutput, error) {
	var outputs []AdminOutput
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 4 {
			return nil, fmt.Errorf("apache: admin.Admin printed %.100q", line)
		}
		ms, err := strconv.Atoi(words[1])
		if err != nil {
			return nil, fmt.Errorf("apache: admin.Admin printed %.100q: %w", line, err)
		}
		o := AdminOutput{Late: words[0] == "late", Refused: words[0] == "refused", Took: time.Duration(ms) * time.Millisecond}
		for i, to := range []*string{&o.Out, &o.Err} {
			b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(words[i+2], "="))
			if err != nil {
				return nil, fmt.Errorf("apache: admin.Admin printed %.100q: %w", line, err)
			}
			*to = string(b)
		}
		outputs = append(outputs, o)
	}
	return outputs, nil
}
