//go:build !linux

package httpd

import (
	"context"
	"net"
)

// emptyBacklog does nothing where the kernel cannot be told to open no more
// connections.
func emptyBacklog(context.Context, net.Listener) {}
