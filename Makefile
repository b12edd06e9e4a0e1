# Gantry. `make run` and `make test` are all that a newcomer needs.
GO      ?= go
export CGO_ENABLED ?= 0

.PHONY: test
test: deps ## run all tests
	$(GO) vet ./...
	$(GO) test -timeout 20m ./...

.PHONY: deps
deps: ## install what the tests need (Debian packages; as root)
	@./scripts/test-deps
