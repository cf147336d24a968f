package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// wants makes a command take least to most arguments. The error shows how it is called.
func wants(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		got := "there is none"
		if len(args) > 0 {
			got = "there are " + strings.Join(quotedAll(args), ", ")
		}
		return fmt.Errorf("%s: the number of arguments is wrong: %s; want %s", cmd.CommandPath(), got, cmd.UseLine())
	}
}

func quotedAll(args []string) []string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = fmt.Sprintf("%q", arg)
	}
	return quoted
}

// flagError says what is wrong with a flag and what it wants; pflag tells only the parser's side.
func flagError(cmd *cobra.Command, err error) error {
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := "--" + e.GetSpecifiedName()
		if e.GetSpecifiedShortnames() != "" {
			name = "-" + e.GetSpecifiedName()
		}
		return fmt.Errorf("%s: there is no such flag; \"%s --help\" lists those of the command", name, cmd.CommandPath())
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s: its value is missing; want %s", e.GetFlag().Name, meaning(e.GetFlag()))
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		if why := errors.Unwrap(e); why != nil && strings.HasPrefix(why.Error(), "want ") { // a flag of our own
			return fmt.Errorf("--%s: %q: %w", e.GetFlag().Name, e.GetValue(), why)
		}
		return fmt.Errorf("--%s: %q is no %s; want %s", e.GetFlag().Name, e.GetValue(), e.GetFlag().Value.Type(), meaning(e.GetFlag()))
	}
	return err
}

// noZero refuses a 0, or less, that was given to flags to which zero means that they were left out.
func noZero(flags *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		f := flags.Lookup(name)
		if v := f.Value.String(); f.Changed && (v == "0" || v == "0s" || strings.HasPrefix(v, "-")) {
			return &usageError{fmt.Errorf("--%s: %q is too little; want more, or leave it out", name, f.Value)}
		}
	}
	return nil
}

// meaning is what --help says of the value of a flag.
func meaning(f *pflag.Flag) string {
	if f.Value.Type() == "bool" {
		return "true or false"
	}
	_, usage := pflag.UnquoteUsage(f)
	return usage
}
