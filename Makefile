# Everyday commands. `make check` while you work, `make test` before you push.
.DEFAULT_GOAL := help
CARGO ?= cargo

.PHONY: help
help: ## Shows this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: build
build: ## Builds the release binary
	$(CARGO) build --release --locked

.PHONY: demo
demo: ## Runs the pipeline on a built-in cluster and registries
	$(CARGO) run --locked -- demo

.PHONY: check
check: lint ## Quick: formatting, lints, and every test that needs no server
	$(CARGO) test --locked --workspace --exclude provenance-e2e

.PHONY: test
test: ## All tests; installs the real servers they run against
	tests/e2e/install
	$(CARGO) test --locked --workspace

.PHONY: lint
lint: ## Formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

.PHONY: deny
deny: ## Licences, sources and doubles of dependencies (needs cargo-deny)
	$(CARGO) deny --locked check licenses bans sources

.PHONY: docs
docs: ## Writes the generated references in docs/ anew
	PROVENANCE_UPDATE_DOCS=1 $(CARGO) test --locked --test docs

.PHONY: site
site: ## Builds the documents as a site in target/site (needs mdbook)
	mdbook build

.PHONY: bench
bench: ## Prints the figures of docs/benchmarks.md
	$(CARGO) bench --locked --bench pipeline
	$(CARGO) bench --locked --bench growth
	$(CARGO) bench --locked --bench sweep
	$(CARGO) bench --locked --bench by_hand
	$(CARGO) bench --locked --bench pacing
	$(CARGO) bench --locked --bench lists
	$(CARGO) bench --locked --bench serving
	$(CARGO) bench --locked --bench pods
	$(CARGO) bench --locked --bench engine

.PHONY: fuzz
fuzz: ## Fuzzes what reads foreign bytes, a minute each (needs cargo-fuzz)
	for target in $$(ls fuzz/seeds); do \
		mkdir -p fuzz/corpus/$$target && RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --release $$target \
			fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=60 -max_len=4096 -timeout=10 || exit 1; \
	done

.PHONY: docker-build
docker-build: ## Builds the image
	docker build -t provenance-collector:dev .
