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
		Short:   "Check, repair and list the store of a server that does not run",
		Example: "  rocketkit store check ~/store\n  rocketkit store repair ~/store\n  rocketkit store dump ~/store -t orders -n 10",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	conf := cmd.PersistentFlags().StringP("config", "c", "", "the server's broker.conf, where it has one; its storePathRootDir counts where no directory is given")
	cmd.AddCommand(newStoreCheck(conf), newStoreRepair(conf), newStoreDump(conf))
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

func newStoreDump(conf *string) *cobra.Command {
	var d brokerlite.StoreDump
	var queue int32
	cmd := &cobra.Command{
		Use: "dump [dir]", Short: "List the records of the commit log, a line each",
		Long: `List the records of the commit log, a line each, in the order in which they were
stored, and the places where it is damaged. Records of deleted topics are among
them, and notes of the store's own, of topic "*".`,
		Example: `  rocketkit store dump ~/store -t orders --queue 3 -n 10
  rocketkit store dump ~/store --from 1073741824 --to 1073750000 --json`,
		Args: storeArgs(conf),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("queue") {
				d.Queue = &queue
			}
			if err := checkDump(&d); err != nil {
				return usageError(cmd, err)
			}
			dir, opts, err := storeOf(args, *conf)
			if err != nil {
				return err
			}
			progress := percent(cmd)
			if isTerminal(cmd.OutOrStdout()) {
				progress = nil // the records are the progress
			}
			done, err := brokerlite.DumpStore(cmd.Context(), cmd.OutOrStdout(), d, progress, opts...)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d records listed, %d read\n", done.Records, done.Read)
			if done.Damaged > 0 {
				return fmt.Errorf("%s is damaged in %d places; \"rocketkit store check %s\" tells what is lost", dir, done.Damaged, dir)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&d.Topic, "topic", "t", "", "only this topic")
	flags.Int32Var(&queue, "queue", 0, "only this queue of each topic (all queues without it)")
	flags.Int64Var(&d.From, "from", 0, "only records from this physical offset on")
	flags.Int64Var(&d.To, "to", 0, "only records before this physical offset (0: to the end)")
	flags.IntVarP(&d.Limit, "limit", "n", 0, "end after so many records (0: never)")
	flags.BoolVar(&d.AsJSON, "json", false, "write a JSON object a line; one with a \"kind\" is a damaged place")
	return cmd
}

func checkDump(d *brokerlite.StoreDump) error {
	switch {
	case d.From < 0:
		return fmt.Errorf("--from %d: want 0 or more", d.From)
	case d.To < 0 || d.To > 0 && d.To <= d.From:
		return fmt.Errorf("--to %d: want more than --from, or 0 for the log's end", d.To)
	case d.Limit < 0:
		return fmt.Errorf("-n %d: want 0 or more", d.Limit)
	case d.Queue != nil && *d.Queue < 0:
		return fmt.Errorf("--queue %d: want 0 or more", *d.Queue)
	}
	return nil
}
