# Gantry. `make run` and `make test` are all that a newcomer needs; `make help`
# lists the rest.
GO     ?= go
LISTEN ?= localhost:8080
DATA   ?= gantry-data

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)

FUZZTIME ?= 20s
RACE     ?= ./...
NIGHTLY_STEPS ?= 1000000
NIGHTLY_KILLS ?= 300
BENCH    ?=
SCALE    ?= 0.1
CLUSTER  ?=
REGISTRIES ?= 20

CONTROLLER_GEN_VERSION = v0.23.0
GOLANGCI_VERSION = v2.15.0
GOLANGCI         = build/tools/golangci-lint-$(GOLANGCI_VERSION)

# go.podman.io/image checks signatures with gpgme, a C library, or, so tagged, with Go.
CLIENT_TAGS = containers_image_openpgp

# One static binary: the product and its tests are built without cgo.
export CGO_ENABLED ?= 0
export GO

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build, and serve on localhost:8080 (LISTEN=, DATA=)
	bin/gantry serve --listen $(LISTEN) --data $(DATA)

.PHONY: build
build: web/dist/site/index.html ## bin/gantry for this machine, the web console in it
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gantry ./cmd/gantry

.PHONY: build-all
build-all: web/dist/site/index.html ## bin/linux-amd64/gantry and bin/linux-arm64/gantry
	GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/linux-amd64/gantry ./cmd/gantry
	GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/linux-arm64/gantry ./cmd/gantry

# The web console: built when a source of it is newer, its packages fetched when
# package-lock.json is. Without npm, Go's part is built alone, and says so.
NPM ?= npm
web/node_modules/.package-lock.json: web/package-lock.json
	@if command -v $(NPM) >/dev/null; then cd web && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 $(NPM) ci --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json; \
	else echo "npm is not there: the binary gets no web console (install Node.js 20 or newer, and npm)" >&2; fi

web/dist/site/index.html: $(shell find web/src web/public -type f) web/index.html web/editor.html web/vite.config.ts web/node_modules/.package-lock.json
	@if command -v $(NPM) >/dev/null; then cd web && $(NPM) run --silent build && touch dist/site/index.html; fi

.PHONY: console
console: web/dist/site/index.html ## the web console alone, into web/dist/site

IMAGE ?= localhost/gantry
.PHONY: generate
generate: ## the CRD and the copies of its types, from apis/; the charts and the bundle take it from there
	GOFLAGS=-mod=mod $(GO) run sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION) object paths=./apis/... crd:maxDescLen=300 paths=./apis/... output:crd:dir=config/crd
	$(GO) test ./deploy -count=1 -run '^TestGenerated$$' -update

.PHONY: image
image: build ## the container image (IMAGE=localhost/gantry); any user may, with buildah
	./scripts/image bin/gantry $(IMAGE)

.PHONY: test
test: deps test-unit test-charts $(if $(wildcard cmd/gantry/*.go),test-clients) test-web test-cluster ## all tests, on real databases, with real clients and on a real Kubernetes node

.PHONY: test-unit
test-unit: ## vet, and the tests of the module
	./scripts/test-unit -timeout 20m

.PHONY: test-clients
test-clients: build ## podman, skopeo, buildah, oras, helm, containerd and others against bin/gantry
	cd e2e/clients && $(GO) vet -tags $(CLIENT_TAGS) ./... && GANTRY_BIN=$(CURDIR)/bin/gantry $(GO) test -tags $(CLIENT_TAGS) -count=1 -timeout 15m ./...

.PHONY: test-cluster
test-cluster: deps build ## Gantry on a real Kubernetes node, with the operator (as root)
	$(GO) vet -tags cluster ./e2e/k8s && GANTRY_BIN=$(CURDIR)/bin/gantry $(GO) test -tags cluster -count=1 -timeout 30m $(CLUSTER) ./e2e/k8s

.PHONY: test-charts
test-charts: ## the Helm charts, as Helm renders them
	cd e2e/charts && $(GO) vet ./... && $(GO) test ./...

.PHONY: bench-web
bench-web: build ## the web console's times in Chromium, into docs/benchmarks-web.md
	cd web && GANTRY_BIN=$(CURDIR)/bin/gantry $(NPM) run --silent bench

.PHONY: test-web
test-web: build ## the web console: types, logic, and in Chromium against bin/gantry
	cd web && $(NPM) run --silent check && $(NPM) run --silent test && GANTRY_BIN=$(CURDIR)/bin/gantry $(NPM) run --silent e2e

.PHONY: test-race
test-race: ## the short tests under the race detector (RACE=./internal/store/...; needs gcc)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 30m $(RACE)

.PHONY: test-nightly
test-nightly: deps ## a million steps of the model with the race detector, hundreds of kills, a million tags (hours; needs gcc)
	GANTRY_MODEL_STEPS=$(NIGHTLY_STEPS) CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 0 -v -run '^TestModel$$' ./internal/content
	GANTRY_KILLS=$(NIGHTLY_KILLS) $(GO) test -count=1 -timeout 0 -v -run '^TestKill$$' ./internal/content ./internal/app
	GANTRY_PLAN_ROWS=1000000 $(GO) test -count=1 -timeout 0 -v -run '^TestPagesReadNoMore$$' ./internal/store

.PHONY: test-faults
test-faults: deps build ## take away instances, databases, stores, clocks and networks under load (half an hour; as root); writes docs/reliability.md
	GANTRY_BIN=$(CURDIR)/bin/gantry GANTRY_FAULTS=1 GANTRY_FAULTS_DOCS=$(CURDIR)/docs/reliability.md $(GO) test -count=1 -timeout 0 -v -run '^TestFaults$$' ./internal/faults

.PHONY: deps
deps: ## install what the tests need (Debian packages; as root)
	@./scripts/test-deps

.PHONY: lint
lint: $(GOLANGCI) ## golangci-lint, in the version that .golangci.yml is made for
	$(GOLANGCI) run ./...
	$(GOLANGCI) run --build-tags cluster ./e2e/k8s
	cd e2e/clients && $(CURDIR)/$(GOLANGCI) run --build-tags $(CLIENT_TAGS) ./...
	cd e2e/charts && $(CURDIR)/$(GOLANGCI) run ./...

.PHONY: fmt
fmt: $(GOLANGCI) ## gofmt and goimports
	$(GOLANGCI) fmt ./...
	cd e2e/clients && $(CURDIR)/$(GOLANGCI) fmt ./...

$(GOLANGCI):
	@mkdir -p build/tools
	GOBIN=$(CURDIR)/build/tools $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv build/tools/golangci-lint $@

.PHONY: bench
bench: deps build ## measure Gantry beside two other registries (BENCH='-short'); writes docs/benchmarks.md
	$(GO) build -o bin/gantry-bench ./internal/bench/cmd
	bin/gantry-bench -gantry bin/gantry -json build/bench.json -write-docs docs/benchmarks.md $(BENCH)

.PHONY: bench-api
bench-api: deps ## measure the lists of the API on a large registry (SCALE=1 takes half an hour); writes docs/benchmarks-api.md
	GANTRY_BENCH_SCALE=$(SCALE) GANTRY_BENCH_DOCS=$(CURDIR)/docs/benchmarks-api.md $(GO) test ./internal/app -run '^$$' -bench '^BenchmarkManagementAPI$$' -benchtime 1x -timeout 0

.PHONY: bench-fleet
bench-fleet: deps build ## measure 1, 2 and 4 instances behind HAProxy (as root); writes docs/benchmarks-fleet.md
	GANTRY_BIN=$(CURDIR)/bin/gantry GANTRY_FLEET_DOCS=$(CURDIR)/docs/benchmarks-fleet.md $(GO) test ./internal/faults -run '^$$' -bench '^BenchmarkFleet$$' -benchtime 1x -timeout 0

.PHONY: bench-mirror
bench-mirror: deps build ## measure mirrors beside skopeo, and proxy caches; writes docs/benchmarks-mirror.md
	GANTRY_BIN=$(CURDIR)/bin/gantry GANTRY_MIRROR_DOCS=$(CURDIR)/docs/benchmarks-mirror.md $(GO) test ./internal/faults -run '^$$' -bench '^BenchmarkMirror$$' -benchtime 1x -timeout 0
	GANTRY_BIN=$(CURDIR)/bin/gantry GANTRY_MIRROR_DOCS=$(CURDIR)/docs/benchmarks-mirror.md GANTRY_MIRROR_TAGS=10000 $(GO) test ./internal/faults -run '^TestMirrorMemory$$' -count 1 -timeout 0
	GANTRY_MIRROR_DOCS=$(CURDIR)/docs/benchmarks-mirror.md GANTRY_PROXY_PULLS=2000 GANTRY_PROXY_CLIENTS=200 GANTRY_PROXY_MIB=512 $(GO) test -v -run '^TestProxyCacheSpeed$$' -count 1 -timeout 0 ./internal/app

.PHONY: bench-operator
bench-operator: deps build ## measure the operator with REGISTRIES=20 registries on pretended nodes (500 take seven minutes)
	GANTRY_BIN=$(CURDIR)/bin/gantry GANTRY_REGISTRIES=$(REGISTRIES) $(GO) test ./internal/operator -run '^$$' -bench '^BenchmarkRegistries$$' -benchtime 1x -timeout 0 -v

.PHONY: scale
scale: deps build ## eleven million blob links on PostgreSQL, and a thousand clients that pull (an hour, 15 GB of TMPDIR); writes docs/scaling.md
	GANTRY_CATALOGUE=large GANTRY_CATALOGUE_DOCS=$(CURDIR)/docs/scaling.md GANTRY_TEST_DIR=$(or $(TMPDIR),/var/tmp) $(GO) test -count=1 -timeout 0 -v -run '^TestCatalogue$$' ./internal/store
	GANTRY_BIN=$(CURDIR)/bin/gantry GANTRY_FAULTS=1 GANTRY_STORM_DOCS=$(CURDIR)/docs/scaling.md $(GO) test -count=1 -timeout 0 -v -run '^TestPullStorm$$' ./internal/faults

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME=20s
	@./scripts/fuzz $(FUZZTIME)

.PHONY: verify
verify: ## generated files and go.mod are as their sources make them
	@./scripts/verify

.PHONY: clean
clean: ## remove what was built; data stays
	rm -rf bin build web/dist/site web/node_modules
