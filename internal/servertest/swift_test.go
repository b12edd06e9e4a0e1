package servertest

import "testing"

// TestSwift makes a container.
func TestSwift(t *testing.T) {
	Swift(t).Container(t, "c")
}
