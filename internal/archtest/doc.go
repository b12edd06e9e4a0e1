// Package archtest holds the import table of docs/design/style.md: which room
// of the house may import which, and which modules from outside live in one
// room only. It has tests and nothing else; a forbidden import fails one of
// them, and its message says what to do.
package archtest
