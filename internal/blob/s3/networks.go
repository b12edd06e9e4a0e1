package s3

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
)

// Networks are the address ranges of Amazon's regions.
type Networks struct {
	ranges []ipRange // in order of their first address; none overlaps the next of its region
}

type ipRange struct {
	prefix netip.Prefix
	region string
}

// MaxNetworks is the size limit of what ParseNetworks takes, in bytes.
const MaxNetworks = 16 << 20

// ParseNetworks reads the file that Amazon publishes as ip-ranges.json.
func ParseNetworks(b []byte) (*Networks, error) {
	if len(b) > MaxNetworks {
		return nil, errors.New("the file of address ranges is larger than 16 MiB")
	}
	var file struct {
		V4 []struct {
			Prefix string `json:"ip_prefix"`
			Region string `json:"region"`
		} `json:"prefixes"`
		V6 []struct {
			Prefix string `json:"ipv6_prefix"`
			Region string `json:"region"`
		} `json:"ipv6_prefixes"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, errors.New("the file of address ranges is not JSON of the form that Amazon publishes")
	}
	n := &Networks{}
	add := func(text, region string) error {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return errors.New("the file of address ranges has one that is none")
		}
		n.ranges = append(n.ranges, ipRange{p.Masked(), region})
		return nil
	}
	var errs []error
	for _, r := range file.V4 {
		errs = append(errs, add(r.Prefix, r.Region))
	}
	for _, r := range file.V6 {
		errs = append(errs, add(r.Prefix, r.Region))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(n.ranges) == 0 {
		return nil, errors.New("the file of address ranges has none")
	}
	slices.SortFunc(n.ranges, func(a, b ipRange) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	return n, nil
}

// Contains reports whether an address is of a region; "" is any region.
func (n *Networks) Contains(region string, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	// Each prefix length that a could be in: a look-up for one.
	for bits := range a.BitLen() + 1 {
		p, err := a.Prefix(bits)
		if err != nil {
			return false
		}
		i, found := slices.BinarySearchFunc(n.ranges, p, func(r ipRange, p netip.Prefix) int {
			return cmp.Or(r.prefix.Addr().Compare(p.Addr()), cmp.Compare(r.prefix.Bits(), p.Bits()))
		})
		for ; found && i < len(n.ranges) && n.ranges[i].prefix == p; i++ {
			if region == "" || n.ranges[i].region == region {
				return true
			}
		}
	}
	return false
}
