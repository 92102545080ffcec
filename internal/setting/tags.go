package setting

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ParseTags reads tag expressions. No tags and no error mean all.
func ParseTags(expressions []string) ([]string, error) {
	var tags []string
	var errs []error
	all := len(expressions) == 0
	for _, expr := range expressions {
		if e := strings.TrimSpace(expr); e == "" || e == "*" {
			all = true
			continue
		}
		for tag := range strings.SplitSeq(expr, "||") {
			tag = strings.TrimSpace(tag)
			switch {
			case tag == "":
				errs = append(errs, fmt.Errorf("tags %q have an empty tag; write them as \"a || b\"", expr))
			case tag == "*":
				errs = append(errs, fmt.Errorf("tags %q mix \"*\" with others; \"*\" alone is every tag", expr))
			case strings.ContainsAny(tag, "| \t\r\n\x01\x02"):
				errs = append(errs, fmt.Errorf("tag %q of %q has white space, '|' or a control character; separate tags with \"||\"", tag, expr))
			case !slices.Contains(tags, tag):
				tags = append(tags, tag)
			}
		}
	}
	if all && len(tags) > 0 {
		errs = append(errs, fmt.Errorf("tags %q mix every tag with some; name either", expressions))
	}
	slices.Sort(tags)
	return tags, errors.Join(errs...)
}

// JoinTags is the expression for tags.
func JoinTags(tags []string) string {
	if len(tags) == 0 {
		return "*"
	}
	return strings.Join(tags, " || ")
}
