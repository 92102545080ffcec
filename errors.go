package rocketkit

import (
	"fmt"
	"strings"
)

// DriverError says that a configuration names a driver that the program does
// not link.
type DriverError struct {
	Name   string
	Linked []string // the drivers that can be named
}

func (e *DriverError) Error() string {
	text := fmt.Sprintf("driver %q is not linked into this program, which has %s", e.Name, strings.Join(e.Linked, ", "))
	if pkg := e.Import(); pkg != "" {
		short := pkg[strings.LastIndexByte(pkg, '/')+1:]
		text += fmt.Sprintf("; import %q and open with rocketkit.WithDriver(%q, %s.Factory)", pkg, e.Name, short)
	}
	return text
}

// Import is the package to import for the driver, "" when it is not one of this
// module's.
func (e *DriverError) Import() string {
	if e.Name == "rocketmq-client-go" {
		return "github.com/rocketkit/rocketkit/driver/clientgo"
	}
	return ""
}
