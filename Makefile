.DEFAULT_GOAL := help

help: ## print this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

deps: ## install what the tests need and the machine lacks
	@command -v redis-server >/dev/null || { apt-get update -qq && apt-get install -y -qq redis-server; }

test: deps ## every test, with the race detector, on a real Redis
	go test -race -timeout 12m ./...

lint: ## static checks
	go vet ./...

.PHONY: help deps test lint
