# make help lists the targets. What a target needs and the machine lacks is
# installed first, by .ci/need.

SHELL := /bin/bash

TAGS := seccomp netgo osusergo urfave_cli_no_docs
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS := -s -w -linkmode external -extldflags -static -X podrun/cli.version=$(VERSION)

export CGO_ENABLED := 1
# The version comes from here; go's own stamp fails in a checkout of another user.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# Tests of these depend on nothing but the sources, so that go's test cache
# holds. All others try the kernel that is there, and do so each time.
PURE := manifest|pod|probe|state

.PHONY: help build demo test race chaos test-conformance lint bench fuzz test-vm clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

build: ## build the static binary bin/podrun
	@.ci/need build
	go build -trimpath -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o bin/podrun .

demo: build ## run a pod, look at it, take it down (as root)
	@.ci/need demo
	@testdata/demo.sh

test: build ## run all tests, on this machine's kernel (as root)
	@if [ "$$(id -u)" -ne 0 ]; then echo "make test makes namespaces, cgroups and firewall rules: run it as root" >&2; exit 1; fi
	@.ci/need test
	@all=$$(go list -tags '$(TAGS)' ./...) && \
	pure=$$(grep -E '^podrun/($(PURE))(/|$$)' <<<"$$all") && \
	go test -tags '$(TAGS)' $$pure && \
	go test -tags '$(TAGS) steps' ./step && \
	go test -tags '$(TAGS)' -count=1 $$(grep -vxF "$$pure" <<<"$$all" | grep -v '^podrun/chaos$$')

chaos: ## break podrun and the machine around it, and count what is lost (as root)
	@if [ "$$(id -u)" -ne 0 ]; then echo "make chaos runs and kills pods: run it as root" >&2; exit 1; fi
	@.ci/need test
	@# In its own directory go test shows what a test prints.
	cd chaos && go test -tags '$(TAGS)' -count=1 -timeout 40m

# Scripts that have much going on at once; a monitor that finds a race writes it to a file.
RACED := change|exec|killedmonitor|many|refresh|shareprocess
race: ## look for data races, in all packages and in pods that run (as root)
	@.ci/need test
	go test -race -tags '$(TAGS)' -count=1 $$(go list -tags '$(TAGS)' ./... | grep -vE '^podrun(/(bench|chaos|vmtest))?$$')
	@dir=$$(mktemp -d) && trap "rm -rf $$dir" EXIT && \
	go build -race -tags '$(TAGS)' -ldflags '-linkmode external -extldflags -static' -o $$dir/podrun . && \
	PODRUN_TEST_BINARY=$$dir/podrun GORACE="log_path=$$dir/race atexit_sleep_ms=0" \
		go test -tags '$(TAGS)' -count=1 -run 'TestScripts/^($(RACED))$$' . ; code=$$?; \
	if ls $$dir/race.* >/dev/null 2>&1; then cat $$dir/race.*; exit 1; fi; exit $$code

# Kubernetes' own validation is a module of four hundred packages; building it takes a minute or two.
test-conformance: ## compare validation with that of an API server, and values with those of a kubelet
	cd conformance && go vet ./... && go test -count=1 -v -timeout 5m ./...

lint: ## gofmt, go vet, staticcheck
	@.ci/need build
	@unformatted=$$(find . -name '.?*' -prune -o -name '*.go' -print0 | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:" $$unformatted >&2; exit 1; fi
	go vet -tags '$(TAGS)' ./...
	go tool staticcheck -tags '$(TAGS)' ./...
	go vet -tags '$(TAGS) steps' ./sandbox ./step
	go tool staticcheck -tags '$(TAGS) steps' ./sandbox ./step

ROUNDS := 15
bench: build ## measure beside podman and write docs/benchmarks.md (as root)
	@.ci/need bench
	go run -tags '$(TAGS)' ./bench -rounds $(ROUNDS) -o docs/benchmarks.md

FUZZTIME := 20s
fuzz: ## run every fuzz target for FUZZTIME
	@.ci/need build
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | while read -r _ name; do \
			go test -tags '$(TAGS)' -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null || exit 1; \
		done || exit 1; \
	done

# Once it downloads qemu, a kernel and a small Debian with systemd. VMTEST is
# what to test: flags and names of vmtest's tests, all when it is empty.
VMTEST :=
test-vm: build ## test under Debian's kernel with cgroup v2, in qemu
	@.ci/need vm
	@vmtest/fetch
	TAGS='$(TAGS)' go run -tags '$(TAGS)' ./vmtest $(VMTEST)

clean: ## remove what was built
	rm -rf bin .cache
