# make run and make test need Go and make, nothing else.

GO       ?= go
TOOL      = $(GO) tool -modfile=$(CURDIR)/tools/go.mod
BUF       = $(GO) tool -modfile=tools/buf/go.mod buf
GENERATE  = $(BUF) generate && $(BUF) generate --template tools/buf.gen.docs.yaml && \
	$(BUF) generate --template tools/buf.gen.codec.yaml --path proto/argus/v1/task_queue.proto --path proto/argus/v1/task.proto --path proto/argus/v1/completion.proto
# What the last release promised; a change that breaks it fails `make lint`.
RELEASED  = proto/released.binpb
# Further modules: their dependencies are not those of the service.
MODULES   = tests/bench tests/faults
GOTESTSUM = $(TOOL) gotestsum --format pkgname-and-test-fails $(GOTESTSUMFLAGS) -- -timeout=1h $(TESTFLAGS) ./...

.PHONY: help run test test-service test-bench test-faults build generate lint lint-go lint-proto release-contract fuzz faults bench bench-scripts bench-shards bench-waiting model

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

run: ## Serve gRPC on localhost:7233 over an in-memory store.
	$(GO) run ./cmd/argus dev

# A file named by GOTESTSUMFLAGS (--jsonfile) holds one module: give it to the target of that module.
test: test-service test-bench test-faults ## Run the tests of all modules; TESTFLAGS=-race for the race detector.

test-service:
	@command -v redis-server >/dev/null || [ "$$REDIS_INTEGRATION_TEST" = true ] || \
		echo "No redis-server here: the tests on a real Redis are skipped. REDIS_INTEGRATION_TEST=true demands them."
	$(GOTESTSUM)

test-bench test-faults: test-%:
	cd tests/$* && $(GOTESTSUM)

build: ## Build bin/argus.
	$(GO) build -o bin/argus ./cmd/argus

generate: ## Generate gen/ and the reference pages; needs no network beyond Go's modules.
	$(GENERATE)
	UPDATE=true $(GO) test ./cmd/... -run TestReference -count=1

lint: lint-go lint-proto ## Check formatting, code, contract and generated code.

lint-go:
	@test -z "$$(gofmt -l cmd examples redis server tests)" || { echo "gofmt would change:"; gofmt -l cmd examples redis server tests; exit 1; }
	@set -e; for module in . $(MODULES); do \
		echo "vet and staticcheck: $$module"; (cd $$module && $(GO) vet ./... && $(TOOL) staticcheck ./...); \
	done

lint-proto:
	$(BUF) lint
	$(BUF) format --diff --exit-code
	$(BUF) breaking --against $(RELEASED)
	$(GENERATE)
	@test -z "$$(git status --porcelain gen docs/contract.md)" || { echo "not what proto/ generates: run make generate and commit it"; git status --short gen docs; exit 1; }

release-contract: ## Record the contract as released: from then on it can only grow.
	$(BUF) build --exclude-source-info -o $(RELEASED)

bench: ## Benchmark whole lives of tasks, compared with other systems (ARGS for its flags).
	cd tests/bench && $(GO) run ./lives $(ARGS)

bench-waiting: ## Benchmark the cost of waiting clients (ARGS for its flags).
	cd tests/bench && $(GO) run ./waiting $(ARGS)

bench-shards: ## Benchmark the spread of work over the masters of a Cluster (ARGS for its flags).
	cd tests/bench && $(GO) run ./shards $(ARGS)

bench-scripts: ## Measure what each operation costs Redis, beside plain commands.
	$(GO) test ./redis/broker -run=NONE -bench=Scripts -benchtime=$(or $(BENCHTIME),3000x)

model: ## Run CHECKS (default 1000) random histories against a model, on both engines.
	REDIS_INTEGRATION_TEST=true $(GO) test ./redis/broker -run=TestModel -timeout=1h -rapid.checks=$(or $(CHECKS),1000)

faults: ## Inject faults under load and check the guarantees (ARGS for its flags: -short, -long 10m, -mutations).
	cd tests/faults && $(GO) run . $(ARGS)

fuzz: ## Fuzz each target for FUZZTIME (default 30s).
	@for file in $$(grep -l 'func Fuzz' redis/*_test.go server/codec/*_test.go); do \
		for target in $$(grep -ho 'func Fuzz[A-Za-z]*' $$file | cut -c6-); do \
			echo "$$target"; $(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),30s) || exit 1; \
		done; \
	done
