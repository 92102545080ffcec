package main

import (
	"errors"
	"fmt"
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
	conf := cmd.PersistentFlags().StringP("config", "c", "", "the server's broker.conf, where it has one")
	cmd.AddCommand(newStoreCheck(conf), newStoreRepair(conf))
	return cmd
}

// storeDir takes the one argument.
func storeDir(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError(cmd, errors.New("want the store's directory"))
	}
	return upTo(1)(cmd, args)
}

func storeOf(dir, conf string) []brokerlite.Option {
	opts := []brokerlite.Option{brokerlite.Standalone("", "")}
	if conf != "" {
		opts = append(opts, brokerlite.ConfFile(conf))
	}
	return append(opts, brokerlite.Dir(dir))
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
		Use: "check <dir>", Short: "Verify every record and consume queue entry, and change nothing", Args: storeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			ok, err := brokerlite.CheckStore(cmd.Context(), cmd.OutOrStdout(), asJSON, percent(cmd), storeOf(args[0], *conf)...)
			if err == nil && !ok {
				err = fmt.Errorf("%s is damaged; \"rocketkit store repair %s\" copies what it changes first", args[0], args[0])
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
		Use: "repair <dir>", Short: "Cut off a torn end and build damaged consume queues anew", Args: storeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return brokerlite.RepairStore(cmd.Context(), cmd.OutOrStdout(), cut, percent(cmd), storeOf(args[0], *conf)...)
		},
	}
	cmd.Flags().BoolVar(&cut, "cut", false, "take damaged records out of the commit log; they are lost")
	return cmd
}
