package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/dlq"
)

const timeLayout = "2006-01-02 15:04:05"

func newDLQ() *cobra.Command {
	conn := new(connection)
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters and send them back",
		Example: `  rocketkit dlq list
  rocketkit dlq show billing
  rocketkit dlq redrive billing --rate 100`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	conn.addTo(cmd)
	cmd.AddCommand(newDLQList(conn), newDLQShow(conn), newDLQRedrive(conn))
	return cmd
}

func newDLQList(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the groups that have dead letters",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return conn.withClient(cmd, func(ctx context.Context, c *rocketkit.Client) error {
				counts, err := dlq.List(ctx, c)
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "GROUP\tDEAD LETTERS\tNOT SENT BACK\tLAST")
				for _, n := range counts {
					fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", n.Group, n.Stored, n.Left, n.Last.Format(timeLayout))
				}
				return w.Flush()
			})
		},
	}
}

func newDLQShow(conn *connection) *cobra.Command {
	var flag string
	cmd := &cobra.Command{
		Use:   "show <group>",
		Short: "Show a group's dead letters, oldest first",
		Args:  upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			group, err := groupOf(cmd, args, flag)
			if err != nil {
				return err
			}
			return conn.withClient(cmd, func(ctx context.Context, c *rocketkit.Client) error {
				none := true
				for l, err := range dlq.Inspect(ctx, c, group) {
					if err != nil {
						return err
					}
					none = false
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s topic=%s tag=%s keys=%q tries=%d %v: %q\n",
						l.Stored().Format(timeLayout), l.ID, l.OriginTopic(), l.Tag, l.Keys(), l.ReconsumeTimes, l.Reason, l.Body); err != nil {
						return err
					}
				}
				if none {
					fmt.Fprintf(cmd.ErrOrStderr(), "no dead letters of group %s; rocketkit dlq list names the groups that have some\n", group)
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&flag, "group", "g", "", "the consumer group")
	return cmd
}

func newDLQRedrive(conn *connection) *cobra.Command {
	var flag string
	var rate float64
	var dry, origin, again bool
	cmd := &cobra.Command{
		Use:   "redrive <group>",
		Short: "Send a group's dead letters back to it",
		Long: `Send a group's dead letters back to it, by its retry topic, so that no other group
gets them. It takes those that no earlier redrive has passed, and goes on where one was
interrupted.`,
		Args: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			group, err := groupOf(cmd, args, flag)
			if err != nil {
				return err
			}
			opts := []dlq.Option{dlq.Rate(rate)}
			for _, o := range []struct {
				set bool
				dlq.Option
			}{{dry, dlq.DryRun()}, {origin, dlq.ToOrigin()}, {again, dlq.FromStart()}} {
				if o.set {
					opts = append(opts, o.Option)
				}
			}
			return conn.withClient(cmd, func(ctx context.Context, c *rocketkit.Client) error {
				report, err := dlq.Redrive(ctx, c, group, opts...)
				if err != nil {
					return err
				}
				did := "sent back"
				if dry {
					did = "would send back"
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %d of %d\n", did, report.Sent, report.Total)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&flag, "group", "g", "", "the consumer group")
	flags.Float64Var(&rate, "rate", 0, "at most so many a second; 0 for no limit")
	flags.BoolVar(&dry, "dry-run", false, "say how many, and send nothing")
	flags.BoolVar(&origin, "to-origin", false, "send them to their original topic, for all its groups (for groups that consume in order)")
	flags.BoolVar(&again, "from-start", false, "begin with the oldest, wherever earlier redrives have been")
	return cmd
}
