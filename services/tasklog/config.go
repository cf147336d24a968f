package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/telemetry"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/archiver"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/relay"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

// configs are the settings of everything in this binary, with their defaults.
func configs() []any {
	return []any{
		config{}.withDefaults(),
		eventlog.DefaultConfig(),
		telemetry.LogConfig{},
		telemetry.HealthConfig{},
		api.DefaultConfig(), scheduler.DefaultConfig(), worker.DefaultConfig(), projector.DefaultConfig(), relay.DefaultConfig(),
		archiver.DefaultConfig(),
	}
}

// variable is one setting.
type variable struct {
	Name    string `json:"name"`
	Flag    string `json:"flag,omitempty"`
	Default string `json:"default,omitempty"`
	Meaning string `json:"meaning"`
}

func (p *program) configCmd() *cobra.Command {
	var markdown bool
	cmd := p.withJSON(&cobra.Command{
		Use: "config", Short: "List every setting: its variable, flag, default and meaning", Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := variables(cmd.Root())
			return p.print(all, func(w io.Writer) {
				t := newTable("variable", "flag", "default", "meaning")
				for _, v := range all {
					if markdown {
						t.AppendRow([]any{"`" + v.Name + "`", code(v.Flag), code(v.Default), v.Meaning})
					} else {
						t.AppendRow([]any{v.Name, v.Flag, v.Default, v.Meaning})
					}
				}
				if markdown {
					say(w, "%s", t.RenderMarkdown())
					return
				}
				say(w, "%s", t.Render())
			})
		},
	})
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the table of the README")
	return cmd
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// variables reads the settings from the tags of Configs and the flags of commands.
func variables(root *cobra.Command) []variable {
	flags := flagsByVariable(root)
	var all []variable
	for field, v := range known() {
		one := variable{Name: field.Tag.Get("env"), Meaning: field.Tag.Get("usage")}
		if !v.IsZero() {
			one.Default = fmt.Sprint(v)
		}
		if f := flags[one.Name]; f != nil {
			one.Flag = "--" + f.Name
			if one.Meaning == "" {
				one.Meaning = f.Usage
			}
		}
		one.Meaning, one.Default = splitDefault(one.Meaning, one.Default)
		all = append(all, one)
	}
	return all
}

// flagsByVariable finds the flag of each variable, over all commands.
func flagsByVariable(root *cobra.Command) map[string]*pflag.Flag {
	found := make(map[string]*pflag.Flag)
	note := func(f *pflag.Flag) {
		if v := f.Annotations[envOf]; len(v) == 1 {
			found[v[0]] = f
		}
	}
	root.PersistentFlags().VisitAll(note)
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(note)
	}
	return found
}

var saidDefault = regexp.MustCompile(`^(.*?) \(default "?([^")]*)"?\)$`)

// splitDefault takes a default that the meaning tells out of it: it cannot be told by a value, or
// is only known where the service runs.
func splitDefault(meaning, value string) (string, string) {
	m := saidDefault.FindStringSubmatch(meaning)
	if m == nil {
		return strings.TrimSpace(meaning), value
	}
	return m[1], m[2]
}
