package blob

import "errors"

// Away reports whether err says that an engine's place could not be reached or
// is not able to work (no connection, no answer in time, 5xx), so that another
// place, or a later time, may help. It is false for a missing object, for a
// request that was refused, and for a ctx that is done. Errors say so by a
// method Away() bool.
func Away(err error) bool {
	var a interface{ Away() bool }
	return errors.As(err, &a) && a.Away()
}
