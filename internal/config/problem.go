package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Severity says what a Problem does to the load.
type Severity string

// The severities.
const (
	Error      Severity = "error"        // the configuration is refused
	Warning    Severity = "warning"      // taken, but probably not what was meant
	NotUsedYet Severity = "not-used-yet" // taken and kept; this release does not act on it
	Ignored    Severity = "ignored"      // of no use to Gantry, ever
)

// A Problem is one finding about a configuration. It never holds a secret.
type Problem struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`   // path, "QUAY_OVERRIDE_CONFIG" or "environment"
	Line     int      `json:"line,omitempty"`   // from 1; 0 = not known
	Column   int      `json:"column,omitempty"` // from 1; 0 = not known
	Field    string   `json:"field,omitempty"`  // field, path in a block, or environment name; "" = the file as a whole
	Message  string   `json:"message"`

	ignorable bool // IGNORE_VALIDATION turns it into a warning
}

// String returns "config.yaml:12: FEATURE_X: message".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Field != "" {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(p.Field)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// maxProblems bounds what one load reports of each severity.
const maxProblems = 200

// ErrInvalid is what the error of a refused configuration wraps.
var ErrInvalid = errors.New("the configuration is not valid")

// invalidError lists the problems of a refused configuration.
type invalidError struct{ problems []Problem }

func (e *invalidError) Unwrap() error { return ErrInvalid }

// Error returns every error, one on a line.
func (e *invalidError) Error() string {
	var b strings.Builder
	b.WriteString(ErrInvalid.Error())
	for _, p := range e.problems {
		if p.Severity == Error {
			b.WriteString("\n  " + p.String())
		}
	}
	return b.String()
}

// sortProblems orders errors first, then by file and line.
func sortProblems(ps []Problem) {
	rank := map[Severity]int{Error: 0, Warning: 1, NotUsedYet: 2, Ignored: 3}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.Severity], rank[b.Severity]), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Field, b.Field))
	})
}
