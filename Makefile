# Thin targets; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
PACKAGES := $(wildcard shared/* services/* infra/cli)
EDITABLE := $(addprefix -e ,$(PACKAGES))
SOURCES := $(addsuffix /pyproject.toml,$(PACKAGES))
# Made-up passwords of tests and digests look like secrets to these.
GUESSES := HexHighEntropyString Base64HighEntropyString KeywordDetector BasicAuthDetector
SPREAD := --dist loadgroup --no-loadscope-reorder

.PHONY: help run test test-e2e test-secured test-recovery test-chaos test-compose check lint type secrets sbom contracts lock bench load fuzz clean

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: .venv/stack.stamp ## Start everything on loopback with demo data (Ctrl-C stops it)
	@$(BIN)/resilience up

test: .venv/dev.stamp ## Run the suite, real services included (10 to 13 minutes on two cores)
	@$(BIN)/python -m pytest -n 3 $(SPREAD) -m "not e2e and not operations and not secured and not recovery and not chaos" $(ARGS)

test-e2e: .venv/dev.stamp ## Everything up: outages, kills, console in a browser, alerts, runbooks (9 to 14 minutes)
	@$(BIN)/python -m pytest -n 2 $(SPREAD) -m "(e2e or operations) and not chaos" $(ARGS)

test-secured: .venv/dev.stamp ## A whole system on a Kafka with TLS, passwords and permissions (2 to 4 minutes)
	@$(BIN)/python -m pytest -m secured $(ARGS)

test-recovery: .venv/dev.stamp ## Kafka, the topic of levels, Redis and S3 are lost with their data, and what the runbook says is done (2 to 4 minutes)
	@$(BIN)/python -m pytest -m recovery $(ARGS)

test-chaos: .venv/dev.stamp ## Every experiment with faults, on one stack; report in .stack/reports (ARGS="-k redis" takes some)
	@$(BIN)/python -m pytest -m chaos tests/chaos $(ARGS)

test-compose: .venv/dev.stamp ## Build docker-compose.yml, start it, prove it by `resilience smoke` and tests/compose, take it down
	@infra/compose-smoke

check: lint type ## Formatting, lint, types, import rules, pure tests
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/architecture tests/contracts tests/guards tests/runtime tests/delivery tests/health_monitor tests/degradation_engine tests/inventory_api tests/flag_service tests/client tests/contract/test_alerts.py tests/contract/test_dashboards.py

lint: .venv/dev.stamp ## Formatting and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

type: .venv/dev.stamp ## mypy --strict
	@$(BIN)/mypy $(addsuffix /src,$(PACKAGES)) tests

secrets: .venv/dev.stamp ## Look for keys of known providers and private keys in every file of the repository (half a minute)
	@git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --no-verify $(addprefix --disable-plugin ,$(GUESSES))

sbom: .venv/dev.stamp ## Bills of materials (CycloneDX) in .stack/sbom: of the locks with hashes, of this environment with licences
	@mkdir -p .stack/sbom
	@for lock in services stack; do $(BIN)/cyclonedx-py requirements requirements/$$lock.txt --output-reproducible -o .stack/sbom/$$lock.json; done
	@$(BIN)/cyclonedx-py environment $(BIN)/python --output-reproducible -o .stack/sbom/environment.json

contracts: .venv/dev.stamp ## Write docs/contracts (JSON Schemas, AsyncAPI) from the code
	@$(BIN)/python -m docs.contracts.generate

lock: .venv/dev.stamp ## Compile requirements/*.in to hash-pinned *.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock

load: .venv/dev.stamp ## A shop's load on everything, with outages: table and pictures in .stack/bench (8 minutes; ARGS="--help")
	@$(BIN)/python -m tests.bench load $(ARGS)

bench: .venv/dev.stamp ## Benchmarks, each beside its floor; tables and JSON in .stack/bench
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: .venv/dev.stamp ## Any bytes to the event codec and the flag resolver, a minute each (ARGS="codec --seconds 600")
	@$(BIN)/python -m tests.fuzz $(ARGS)

clean: ## Remove the environment, caches and the embedded stack's data
	rm -rf .venv .stack build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage*

.venv/%.stamp: requirements/%.txt $(SOURCES)
	@echo "Installing pinned dependencies into .venv"
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(EDITABLE)
	@touch $@
