.DEFAULT_GOAL := help

help: ## print this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

deps: ## install what the tests need and the machine lacks
	@command -v redis-server >/dev/null || { apt-get update -qq && apt-get install -y -qq redis-server; }

test: deps ## every test, with the race detector, on a real Redis
	go test -race -timeout 12m ./...

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

.PHONY: help deps test lint fmt
