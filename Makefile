.DEFAULT_GOAL := help
# How long each fuzz target runs.
FUZZTIME ?= 20s

help: ## print this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-13s %s\n", $$1, $$2}'

run: build ## everything in one process, with a Redis of its own if none is named
	@exec bin/tasklog dev $(ARGS)

build: ## the binary, as bin/tasklog
	CGO_ENABLED=0 go build -trimpath -o bin/tasklog ./services/tasklog

deps: ## install what the tests need and the machine lacks
	@.ci/deps

test: deps ## every test, with the race detector, on a real Redis
	go test -race -timeout 12m ./...

golden: ## write the golden files, and the tables in the docs, as the code has them now: read the diff
	go test ./events -rewrite
	go test ./infra/eventlog -run TestStories -rewrite
	go test ./docs -run Generated -update

fuzz: ## every fuzz target, each for FUZZTIME
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$dir/*_test.go); do \
			echo "$$dir $$f"; go test $$dir -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) || exit 1; \
		done; \
	done

# ARGS go to the program; see: go run ./services/tasklog/bench -help
bench: ## what one Redis and this machine can do, measured
	go run ./services/tasklog/bench $(ARGS)

bench-peers: ## the same beside asynq and BullMQ, which it fetches, in turns
	infra/bench/peers.sh $(ARGS)

bench-scaling: ## what partitions cost on one Redis and on a cluster of three, into docs/scaling.md
	go run ./services/tasklog/bench -scaling -page docs/scaling.md

# Where that is allowed, the tests come before whatever else runs on the machine.
AHEAD = $(shell chrt -f 10 true 2>/dev/null && echo '-exec "chrt -f 10"')

latency: deps ## how late tasks are at light load, and how quiet all is at idle
	go test -count=1 -v $(AHEAD) ./services/tasklog/whole

# How long faults happen, and the seed that chooses them: none means any.
CHAOS_MINUTES ?= 3
SEED ?= 0

chaos: deps ## every service under faults for CHAOS_MINUTES, by SEED: nothing lost, nothing doubled
	go run ./services/tasklog/chaos -minutes $(CHAOS_MINUTES) -seed $(SEED)

screenshots: deps ## pictures of the dashboard, in docs/screenshots
	@mkdir -p docs/screenshots
	TASKLOG_SCREENSHOTS=$(CURDIR)/docs/screenshots go test -count=1 ./services/api/dashboard -run TestPagesFitEveryWidthInBothThemes

# The linter by its version: another version is another file, and is installed beside it.
LINTER := bin/golangci-lint-2.15.0

$(LINTER):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(@:bin/golangci-lint-%=%)
	@mv bin/golangci-lint $@

lint: $(LINTER) ## static checks
	go vet ./...
	$(LINTER) run

fmt: $(LINTER) ## write every file as the linter wants it
	$(LINTER) fmt

.PHONY: help run build deps test golden fuzz bench bench-peers bench-scaling latency chaos screenshots lint fmt
