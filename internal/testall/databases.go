package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/rocketkit/rocketkit/internal/dbserver"
)

// databases are the servers that tests use, one of each kind for the whole run.
type databases struct {
	servers []*dbserver.Server
	env     []string // what names them to the tests
}

// startDatabases starts those that the environment does not name; why is not empty when
// they are left out.
func startDatabases(ctx context.Context, mode string) (d databases, why string, err error) {
	kinds := slices.DeleteFunc(dbserver.Kinds(), func(k dbserver.Kind) bool { return os.Getenv(k.Variable) != "" })
	if len(kinds) == 0 {
		return d, "", nil
	}
	if err := dbserver.Available(); mode == "off" || mode == "auto" && err != nil {
		if mode == "off" {
			err = errors.New("-databases off")
		}
		return d, fmt.Sprintf("left out: tests on PostgreSQL and MariaDB: %v", err), nil
	}
	var mu sync.Mutex // guards d and errs
	var errs []error
	var all sync.WaitGroup
	for _, k := range kinds {
		all.Go(func() {
			s, err := k.Start(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			d.servers, d.env = append(d.servers, s), append(d.env, k.Variable+"="+s.DSN)
		})
	}
	all.Wait()
	if len(errs) > 0 {
		return databases{}, "", errors.Join(append(errs, d.stop())...)
	}
	return d, "", nil
}

func (d databases) stop() error {
	var errs []error
	for _, s := range d.servers {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}
