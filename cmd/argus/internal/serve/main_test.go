package serve_test

import (
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
)

func TestMain(m *testing.M) { argustest.Main(m) }
