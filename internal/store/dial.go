package store

import (
	"context"
	"net"
	"syscall"
	"time"
)

// A dialer opens the connections to a database server, as the arguments say
// that are psycopg2's. Names are resolved at each connection, so that one that
// has moved is found.
type dialer struct {
	net.Dialer
	connect time.Duration // bound on one server
}

// most is the longest that an argument in seconds may be.
const most = 24 * time.Hour

func (u *uri) dialer() (*dialer, error) {
	d := &dialer{}
	var err error
	if d.connect, err = u.seconds("connect_timeout", 10*time.Second, 0, most); err != nil {
		return nil, err
	}
	if d.connect == 0 { // libpq: for ever
		d.connect = most
	}
	d.Timeout = d.connect
	alive, err := u.on("keepalives", true)
	if err != nil {
		return nil, err
	}
	d.KeepAliveConfig.Enable = alive
	if !alive {
		d.KeepAlive = -1
	}
	if d.KeepAliveConfig.Idle, err = u.seconds("keepalives_idle", 15*time.Second, 0, most); err != nil {
		return nil, err
	}
	if d.KeepAliveConfig.Interval, err = u.seconds("keepalives_interval", 15*time.Second, 0, most); err != nil {
		return nil, err
	}
	if d.KeepAliveConfig.Count, err = u.number("keepalives_count", 3, 0, 1000); err != nil {
		return nil, err
	}
	unanswered, err := u.number("tcp_user_timeout", 0, 0, int(most/time.Millisecond))
	if err != nil {
		return nil, err
	}
	if unanswered > 0 {
		d.Control = func(network, _ string, c syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			return userTimeout(c, unanswered)
		}
	}
	return d, nil
}

// dialArgs are the arguments that a dialer knows.
var dialArgs = []string{"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}

// DialContext opens a connection.
func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.Dialer.DialContext(ctx, network, addr)
}
