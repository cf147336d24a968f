package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/api/tokens"
)

// newToken is what token new prints.
type newToken struct {
	Name   string         `json:"name"`
	Scopes []tokens.Scope `json:"scopes"`
	Token  string         `json:"token"`  // the secret
	SHA256 string         `json:"sha256"` // of it
	Line   string         `json:"line"`   // for the file
	File   string         `json:"file,omitempty"`
}

func (p *program) tokenCmd() *cobra.Command {
	const example = "  tasklog token new shop --scopes submit --tokens tokens.yml"
	cmd := &cobra.Command{Use: "token", Short: "Make tokens for the API", Args: wants(0, 0), Example: example}
	var scopes []string
	create := p.withJSON(&cobra.Command{
		Use: "new NAME", Short: "Make a token and print it once", Args: wants(1, 1),
		Long: "Make a token for the API and print it, once: only its SHA-256 is kept. It goes into the file of\n" +
			"--tokens or TASKLOG_TOKENS, which is made if there is none; without one, the line for it is printed.\n" +
			"An API reads its file when it starts.\n\n" +
			"Scopes: submit (ask for tasks), read (see everything), operate (cancel, retry, pause, resume).",
		Example: example,
		RunE:    func(_ *cobra.Command, args []string) error { return p.newToken(args[0], scopes) },
	})
	create.Flags().StringSliceVar(&scopes, "scopes", nil, "submit, read, operate, separated by commas")
	setting(create.Flags(), "tokens", "TASKLOG_TOKENS", "file that the token is added to")
	cmd.AddCommand(create)
	return cmd
}

func (p *program) newToken(name string, names []string) error {
	scopes, err := tokens.ParseScopes(names)
	if err != nil {
		return err
	}
	secret, t, err := tokens.New(name, scopes)
	if err != nil {
		return err
	}
	file := p.settings["TASKLOG_TOKENS"].value
	if file != "" {
		if err := tokens.Append(file, t); err != nil {
			return err
		}
	}
	out := newToken{Name: t.Name, Scopes: t.Scopes, Token: secret, SHA256: t.SHA256(), Line: t.Line(), File: file}
	return p.print(out, func(w io.Writer) {
		say(w, "%s", secret)
		if file == "" {
			say(w, "\nThe line for the file of --tokens:\n%s", t.Line())
		}
	})
}
