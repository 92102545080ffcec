package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// startup is how broker-lite starts and rests.
type startup struct {
	ReadyMs    []float64 `json:"readyMs"`    // from the process's start to the first answered requests
	ResidentMB []float64 `json:"residentMB"` // MiB, after idleFor
}

const (
	startups = 5 // unless it is to be quick
	idleFor  = 2 * time.Second
)

// measureStartup starts the server so many times on empty directories.
func measureStartup(ctx context.Context, binary, dir string, times int) (*startup, error) {
	var out startup
	for i := range times {
		at := filepath.Join(dir, fmt.Sprintf("startup-%d", i))
		p, err := startLite(ctx, binary, at)
		if err != nil {
			return nil, err
		}
		out.ReadyMs = append(out.ReadyMs, float64(p.ready)/float64(time.Millisecond))
		waitErr := pass(ctx, idleFor)
		resident, err := residentBytes(p.pid())
		if hasProc {
			out.ResidentMB = append(out.ResidentMB, float64(resident)/(1<<20))
		}
		if err := errors.Join(waitErr, err, p.stop(), os.RemoveAll(at)); err != nil {
			return nil, err
		}
	}
	return &out, nil
}
