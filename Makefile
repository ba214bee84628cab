# make run and make test need Go and make, nothing else.

GO       ?= go
TOOL      = $(GO) tool -modfile=tools/go.mod
BUF       = $(GO) tool -modfile=tools/buf/go.mod buf
GENERATE  = $(BUF) generate && $(BUF) generate --template tools/buf.gen.docs.yaml && \
	$(BUF) generate --template tools/buf.gen.codec.yaml --path proto/argus/v1/task_queue.proto --path proto/argus/v1/task.proto --path proto/argus/v1/completion.proto
# What the last release promised; a change that breaks it fails `make lint`.
RELEASED  = proto/released.binpb

.PHONY: help run test build generate lint lint-go lint-proto release-contract fuzz faults bench bench-scripts bench-shards bench-waiting model

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

run: ## Serve gRPC on localhost:7233 over an in-memory store.
	$(GO) run ./cmd/argus dev

test: ## Run the tests; TESTFLAGS=-race for the race detector.
	@command -v redis-server >/dev/null || [ "$$REDIS_INTEGRATION_TEST" = true ] || \
		echo "No redis-server here: the tests on a real Redis are skipped. REDIS_INTEGRATION_TEST=true demands them."
	$(TOOL) gotestsum --format pkgname-and-test-fails $(GOTESTSUMFLAGS) -- -timeout=1h $(TESTFLAGS) ./...

build: ## Build bin/argus.
	$(GO) build -o bin/argus ./cmd/argus

generate: ## Generate gen/ and the reference pages; needs no network beyond Go's modules.
	$(GENERATE)
	UPDATE=true $(GO) test ./cmd/argus -run TestReference -count=1

lint: lint-go lint-proto ## Check formatting, code, contract and generated code.

lint-go:
	@test -z "$$(gofmt -l bench cmd examples faults redis server tests)" || { echo "gofmt would change:"; gofmt -l bench cmd examples faults redis server tests; exit 1; }
	$(GO) vet ./...
	cd bench && $(GO) vet ./...
	$(TOOL) staticcheck ./...

lint-proto:
	$(BUF) lint
	$(BUF) format --diff --exit-code
	$(BUF) breaking --against $(RELEASED)
	$(GENERATE)
	@test -z "$$(git status --porcelain gen docs/contract.md)" || { echo "not what proto/ generates: run make generate and commit it"; git status --short gen docs; exit 1; }

release-contract: ## Record the contract as released: from then on it can only grow.
	$(BUF) build --exclude-source-info -o $(RELEASED)

bench: ## Measure whole lives of tasks, beside other ways (ARGS for its flags).
	cd bench && $(GO) run ./lives $(ARGS)

bench-waiting: ## Measure what waiting costs (ARGS for its flags).
	cd bench && $(GO) run ./waiting $(ARGS)

bench-shards: ## Measure how work spreads over the masters of a Cluster (ARGS for its flags).
	cd bench && $(GO) run ./shards $(ARGS)

bench-scripts: ## Measure what each operation costs Redis, beside plain commands.
	$(GO) test ./redis -run=NONE -bench=Scripts -benchtime=$(or $(BENCHTIME),3000x)

model: ## Run CHECKS (default 1000) random histories against a model, on both engines.
	REDIS_INTEGRATION_TEST=true $(GO) test ./redis -run=TestModel -timeout=1h -rapid.checks=$(or $(CHECKS),1000)

faults: ## Break things under load and check what was promised (ARGS for its flags: -short, -long 10m, -mutations).
	$(GO) run ./faults $(ARGS)

fuzz: ## Fuzz each target for FUZZTIME (default 30s).
	@for file in $$(grep -l 'func Fuzz' redis/*_test.go server/codec/*_test.go); do \
		for target in $$(grep -ho 'func Fuzz[A-Za-z]*' $$file | cut -c6-); do \
			echo "$$target"; $(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),30s) || exit 1; \
		done; \
	done
