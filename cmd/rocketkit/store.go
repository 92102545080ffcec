package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

func newStore() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "store",
		Short:   "Check and repair the store of a server that does not run",
		Example: "  rocketkit store check ~/store\n  rocketkit store repair ~/store",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	conf := cmd.PersistentFlags().StringP("config", "c", "", "the server's broker.conf, where it has one; its storePathRootDir counts where no directory is given")
	cmd.AddCommand(newStoreCheck(conf), newStoreRepair(conf))
	return cmd
}

// storeArgs takes the directory, which a broker.conf may name instead.
func storeArgs(conf *string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && *conf == "" {
			return usageError(cmd, errors.New("want the store's directory, or the server's broker.conf with -c"))
		}
		return upTo(1)(cmd, args)
	}
}

// storeOf is where the store is, and how the server is configured.
func storeOf(args []string, conf string) (dir string, opts []brokerlite.Option, err error) {
	home, err := os.UserHomeDir()
	if err != nil && len(args) == 0 {
		return "", nil, fmt.Errorf("where the store is: %w; name its directory", err)
	}
	opts = []brokerlite.Option{brokerlite.Standalone(home, "")}
	if conf != "" {
		opts = append(opts, brokerlite.ConfFile(conf))
	}
	if len(args) > 0 {
		return args[0], append(opts, brokerlite.Dir(args[0])), nil
	}
	dir, err = brokerlite.DirOf(opts...)
	return dir, opts, err
}

// percent tells now and then how far long work is.
func percent(cmd *cobra.Command) func(done, total int64) {
	last := time.Now()
	return func(done, total int64) {
		if now := time.Now(); total > 0 && now.Sub(last) >= progressEvery {
			last = now
			fmt.Fprintf(cmd.ErrOrStderr(), "%d%% of %d MiB read\n", min(done*100/total, 100), total>>20)
		}
	}
}

func newStoreCheck(conf *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check [dir]", Short: "Verify every record and consume queue entry, and change nothing", Args: storeArgs(conf),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, opts, err := storeOf(args, *conf)
			if err != nil {
				return err
			}
			ok, err := brokerlite.CheckStore(cmd.Context(), cmd.OutOrStdout(), asJSON, percent(cmd), opts...)
			if err == nil && !ok {
				err = fmt.Errorf("%s is damaged; \"rocketkit store repair %s\" copies what it changes first", dir, dir)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func newStoreRepair(conf *string) *cobra.Command {
	var cut bool
	cmd := &cobra.Command{
		Use: "repair [dir]", Short: "Cut off a torn end and build damaged consume queues anew", Args: storeArgs(conf),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, opts, err := storeOf(args, *conf)
			if err != nil {
				return err
			}
			return brokerlite.RepairStore(cmd.Context(), cmd.OutOrStdout(), cut, percent(cmd), opts...)
		},
	}
	cmd.Flags().BoolVar(&cut, "cut", false, "take damaged records out of the commit log; they are lost")
	return cmd
}
