# `make` or `make help` lists the targets. Each needs only Python 3.11 to 3.14 with venv, and the package registries.
# The environments are built from hash-locked requirements, and again whenever those change.

PYTHON ?= python3
VENV := .venv
DEMO := .venvs/demo
BIN := $(VENV)/bin
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet
PYTEST := $(BIN)/python -m pytest
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-fast test-full check format docs bench bench-peers lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(DEMO)/.installed  ## Start a server and run the examples of Pinecone's documentation against it
	@$(DEMO)/bin/python examples/demo.py

serve: $(VENV)/.installed  ## Start a server on port 5080 with all models' names, its data in ./pinyon-data
	@$(BIN)/pinyon serve --models-stand-ins

test: test-fast test-full  ## Run all tests, those with official clients and kill -9 too

test-fast: $(VENV)/.installed  ## Run the tests that take about a minute together
	$(PYTEST) -n $(WORKERS) -m "not conformance and not slow"

test-full: $(VENV)/.installed  ## Run the tests that need real clients and real processes
	$(PYTEST) -m "conformance or slow"

check: $(VENV)/.installed  ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed  ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed  ## Write the pages that are made from the code
	$(BIN)/python -c "from pinyon.settings import reference_page; print(reference_page(), end='')" \
		> docs/reference/settings.md

bench: $(VENV)/.installed  ## Measure this machine; results go to benchmarks/results
	$(BIN)/python -m benchmarks

bench-peers: $(VENV)/.installed  ## Measure Pinyon beside its peers, each in an environment of its own; takes long
	$(BIN)/python -m benchmarks.peers

lock: $(VENV)/.installed  ## Lock the newest versions that pyproject.toml allows
	$(BIN)/python $(PIP_INSTALL) uv
	$(BIN)/uv pip compile pyproject.toml --extra models --group dev $(LOCK_OPTIONS) --output-file requirements/dev.lock
	$(BIN)/uv pip compile pyproject.toml --extra minilm requirements/demo.in $(LOCK_OPTIONS) --output-file requirements/demo.lock

# One lock for every Python and platform that Pinyon runs on. It names no registry: pip asks the one it is set up for.
LOCK_OPTIONS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	--constraints requirements/constraints.in

clean:  ## Remove the environments and caches
	rm -rf $(VENV) .venvs build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# $(call build_environment,folder,lock): a fresh environment with exactly what the lock names, then Pinyon itself from
# here. The stamp comes last, so that an installation that was cut off is begun again.
define build_environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pinyon needs Python 3.11 or newer: PYTHON=...")'
	@echo "Building $(1) from $(2)"
	@$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python $(PIP_INSTALL) --require-hashes --requirement $(2)
	@$(1)/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(1)/.installed
endef

$(VENV)/.installed: requirements/dev.lock pyproject.toml
	$(call build_environment,$(VENV),$<)

$(DEMO)/.installed: requirements/demo.lock pyproject.toml
	$(call build_environment,$(DEMO),$<)
