package settings

import (
	"testing"
)

func TestCheckAddrAcceptsAddressesWithAPortOrAScheme(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"localhost:1", "[::1]:1", ":1", "dns:///host", "unix:///run/argus"} {
		if err := CheckAddr("addr", addr, "1"); err != nil {
			t.Error(err)
		}
	}
}
