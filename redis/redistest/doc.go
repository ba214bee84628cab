// Package redistest gives tests the stores that Argus Queue runs on: miniredis always, and a real redis-server
// where one is installed. It also makes TLS certificates for tests.
//
// It imports nothing of this module; tests of any package may import it. A package whose tests use Shared or
// Each calls Main from its TestMain.
package redistest
