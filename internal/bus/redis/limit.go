package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gantry-registry/gantry/internal/httpd"
)

// charge adds ARGV[1] microseconds to a debt and returns the debt. A debt
// shrinks as time passes, by the clock of Redis, which is one for all; the key
// goes soon after it.
var charge = goredis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local whole = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if whole < now then whole = now end
whole = whole + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', whole), 'PX', math.ceil((whole - now) / 1000) + 1000)
return whole - now
`)

// Charge implements httpd.Ledger, in one round trip (and one more when Redis
// has forgotten the script).
func (b *Bus) Charge(ctx context.Context, list []httpd.Charge) ([]time.Duration, error) {
	if b.limits.wait() > 0 {
		return nil, errAway
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Timeout)
	defer cancel()
	debts, err := b.charge(ctx, list)
	if err != nil {
		b.limits.failed()
		b.o.Metrics.RedisFailed("limit", 1)
		return nil, fmt.Errorf("count requests in Redis: %w", err)
	}
	b.limits.answered()
	return debts, nil
}

func (b *Bus) charge(ctx context.Context, list []httpd.Charge) ([]time.Duration, error) {
	debts := make([]time.Duration, len(list))
	todo := make([]int, len(list))
	for i := range todo {
		todo[i] = i
	}
	for try := 0; len(todo) > 0; try++ {
		if try == 1 {
			// On every node: the keys are spread over all of them.
			if err := charge.Load(ctx, b.keys.(goredis.Scripter)).Err(); err != nil {
				return nil, err
			}
		}
		cmds := make([]*goredis.Cmd, len(todo))
		_, err := b.keys.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for j, i := range todo {
				cmds[j] = charge.EvalSha(ctx, p, []string{b.o.Prefix + ":limit:" + list[i].Key}, list[i].Cost.Microseconds())
			}
			return nil
		})
		var unknown []int // the script was not run for these
		for j, cmd := range cmds {
			us, e := cmd.Int64()
			switch {
			case e == nil:
				debts[todo[j]] = time.Duration(us) * time.Microsecond
			case try == 0 && strings.HasPrefix(e.Error(), "NOSCRIPT"):
				unknown = append(unknown, todo[j])
			default:
				return nil, errors.Join(err, e)
			}
		}
		todo = unknown
	}
	return debts, nil
}
