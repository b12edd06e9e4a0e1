package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of utime and stime in /proc/PID/stat: USER_HZ, which
// is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// parseStatCPU returns user plus system time from the text of /proc/PID/stat,
// with that of children that ended and were waited for.
func parseStatCPU(stat []byte) (time.Duration, error) {
	// The name in parentheses may hold anything, parentheses too.
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, errors.New("no process name in /proc/PID/stat")
	}
	fields := bytes.Fields(stat[i+1:]) // from field 3, the state, on
	if len(fields) < 15 {
		return 0, fmt.Errorf("only %d fields in /proc/PID/stat", len(fields)+2)
	}
	var ticks int64
	for _, f := range fields[11:15] { // utime stime cutime cstime
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// parseStatus returns the field named name of /proc/PID/status or
// /proc/meminfo, which is in KiB, as bytes.
func parseStatus(status []byte, name string) (int64, error) {
	for line := range bytes.Lines(status) {
		k, v, ok := bytes.Cut(line, []byte(":"))
		if !ok || string(k) != name {
			continue
		}
		n, ok := bytes.CutSuffix(bytes.TrimSpace(v), []byte(" kB"))
		if !ok {
			return 0, fmt.Errorf("%s is not in kB: %q", name, v)
		}
		kib, err := strconv.ParseInt(string(bytes.TrimSpace(n)), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("no field %s", name)
}

// family returns pid and every living process below it.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i])) // the pattern is good
		for _, name := range lists {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // the thread has ended
			}
			for _, f := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(f); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// cpuTime returns the processor time that pid and its children have used.
func cpuTime(pid int) (time.Duration, error) {
	var sum time.Duration
	for i, p := range family(pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err == nil {
			var d time.Duration
			d, err = parseStatCPU(stat)
			sum += d
		}
		if err != nil && i == 0 {
			return 0, err
		}
	}
	return sum, nil
}

// memory returns the resident bytes of pid and its children: now, and each
// one's peak since it started or since resetPeak.
func memory(pid int) (now, peak int64, err error) {
	for i, p := range family(pid) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		var rss, hwm int64
		if err == nil {
			rss, err = parseStatus(status, "VmRSS")
		}
		if err == nil {
			hwm, err = parseStatus(status, "VmHWM")
		}
		if err != nil && i == 0 {
			return 0, 0, err
		}
		now, peak = now+rss, peak+hwm
	}
	return now, peak, nil
}

// resetPeak makes the peak of memory start again from what is resident now.
func resetPeak(pid int) error {
	for _, p := range family(pid) {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p), []byte("5"), 0o200); err != nil {
			return err
		}
	}
	return nil
}

// selfCPU returns the processor time that this process has used.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot fail with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// diskUsage returns the bytes that the files and folders below dir take on
// disk. A file that goes away meanwhile counts as nothing.
func diskUsage(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum, err
}

// A Machine is what the figures were measured on.
type Machine struct {
	CPU     string  `json:"cpu"`
	Cores   int     `json:"cores"`
	Memory  int64   `json:"memory_bytes"`
	Kernel  string  `json:"kernel"`
	Arch    string  `json:"arch"`
	Go      string  `json:"go"`
	Disk    string  `json:"disk"` // the file system of the servers' data
	LoadAvg float64 `json:"load_average_before"`
}

// parseCPUModel returns the first model name of /proc/cpuinfo, or "unknown".
func parseCPUModel(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		if k, v, ok := bytes.Cut(line, []byte(":")); ok && strings.TrimSpace(string(k)) == "model name" {
			return strings.TrimSpace(string(v))
		}
	}
	return "unknown"
}

// parseMount returns the type and device of the file system that holds dir,
// an absolute path, from the text of /proc/mounts.
func parseMount(mounts []byte, dir string) string {
	best, name := -1, "unknown"
	for line := range bytes.Lines(mounts) {
		f := strings.Fields(string(line))
		if len(f) < 3 {
			continue
		}
		at := strings.TrimSuffix(f[1], "/")
		if len(at) >= best && (dir == at || strings.HasPrefix(dir, at+"/")) {
			best, name = len(at), f[2]+" on "+f[0]
		}
	}
	return name
}
