package dialect

import (
	"fmt"
	"strconv"
	"strings"
)

// Dialect is a kind of database.
type Dialect int

// Dialects.
const (
	SQLite     Dialect = iota + 1 // 3.35 and later
	PostgreSQL                    // 9.5 and later
	MySQL                         // 8.0 and later, MariaDB 10.6 and later
)

func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "SQLite"
	case PostgreSQL:
		return "PostgreSQL"
	case MySQL:
		return "MySQL"
	}
	return "Dialect(" + strconv.Itoa(int(d)) + ")"
}

// Check refuses what is no dialect.
func (d Dialect) Check() error {
	if d < SQLite || d > MySQL {
		return fmt.Errorf("%s is not known; take SQLite, PostgreSQL or MySQL", d)
	}
	return nil
}

// CheckTable refuses what cannot be a table's name as it is, perhaps with a schema.
func CheckTable(name string) error {
	schema, table, qualified := strings.Cut(name, ".")
	if !identifier(schema) || qualified && !identifier(table) {
		return fmt.Errorf("table %q: a name has letters, digits and underscores, up to 50, and no digit first; a schema may stand before it with a dot", name)
	}
	return nil
}

// maxName leaves room for the names of indexes in PostgreSQL's 63 bytes.
const maxName = 50

func identifier(s string) bool {
	if s == "" || len(s) > maxName || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	})
}

// Bind turns the question marks of a query, which has none in its texts, into the
// dialect's placeholders.
func (d Dialect) Bind(query string) string {
	if d != PostgreSQL {
		return query
	}
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}
