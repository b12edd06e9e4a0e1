package config

import (
	"fmt"
	"io"
)

// A Summary is the result of a validation, for people (WriteText) and for
// programs (encoding/json). It never holds a secret.
type Summary struct {
	Valid      bool      `json:"valid"`
	File       string    `json:"file,omitempty"` // path of config.yaml; "" = there is none, or it was refused
	Written    int       `json:"written"`        // fields that are written, unknown ones included; 0 where refused
	Errors     []Problem `json:"errors"`
	Warnings   []Problem `json:"warnings"`
	NotUsedYet []Problem `json:"not_used_yet"`
	Ignored    []Problem `json:"ignored"`
}

// Report sorts the problems of a Load by what they mean. c may be nil.
func Report(c *Config, problems []Problem) Summary {
	s := Summary{Errors: []Problem{}, Warnings: []Problem{}, NotUsedYet: []Problem{}, Ignored: []Problem{}}
	for _, p := range problems {
		switch p.Severity {
		case Error:
			s.Errors = append(s.Errors, p)
		case NotUsedYet:
			s.NotUsedYet = append(s.NotUsedYet, p)
		case Ignored:
			s.Ignored = append(s.Ignored, p)
		default:
			s.Warnings = append(s.Warnings, p)
		}
	}
	s.Valid = len(s.Errors) == 0
	if c != nil {
		s.File, s.Written = c.Bundle.File, len(c.explicit)
	}
	return s
}

// WriteText writes the summary for a terminal: a line for each problem, under
// a heading for each kind, and the verdict last.
func (s Summary) WriteText(w io.Writer) error {
	var err error
	printf := func(format string, args ...any) {
		if err == nil {
			_, err = fmt.Fprintf(w, format, args...)
		}
	}
	for _, part := range []struct {
		title    string
		problems []Problem
	}{
		{"Errors", s.Errors},
		{"Warnings", s.Warnings},
		{"Not used yet", s.NotUsedYet},
		{"Ignored", s.Ignored},
	} {
		if len(part.problems) == 0 {
			continue
		}
		printf("%s:\n", part.title)
		for _, p := range part.problems {
			printf("  %s\n", p)
		}
	}
	if s.Valid {
		printf("The configuration is valid: %s written, %s.\n", count(s.Written, "field"), count(len(s.Warnings), "warning"))
	} else {
		printf("The configuration is not valid: %s.\n", count(len(s.Errors), "error"))
	}
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
