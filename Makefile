# Needs make and Python >= 3.11, nothing else: the first run makes .venv and installs into it.
# Another interpreter: make test PYTHON=python3.13

PYTHON ?=
SETUP = PYTHON='$(PYTHON)' sh .ci/venv
RUN = .venv/bin/python -m

# Not the installed script: its first line cannot hold a path with spaces.
LINT_IMPORTS = .venv/bin/python -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

# More arguments for pytest or the benchmarks: make test ARGS='-x tests/where'
ARGS ?=

# Tests at a time; much of their time is waiting. 0: all in one process, as a debugger needs it.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench lint format docs venv clean

help: ## List these commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: ## Start Postgres, worker and web server with sample rows, and print the URL to open
	@$(SETUP) demo
	@exec $(RUN) example_project.run_demo

test: ## Run the tests
	@$(SETUP) test
	@exec $(RUN) pytest -n $(WORKERS) --dist loadgroup $(ARGS)

soak: ## Run the tests that take long
	@$(SETUP) test
	@exec $(RUN) pytest -m soak --timeout=0 $(ARGS)

bench: ## Measure throughput and latency against their floors
	@$(SETUP) test
	@exec $(RUN) benchmarks $(ARGS)

lint: ## Check style, format, types and the floors of the house
	@$(SETUP) test lint
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	DATABASE_URL=postgres://nobody@/nothing $(RUN) mypy
	@$(LINT_IMPORTS) --cache-dir .cache/import-linter

format: ## Put the code into its standard form
	@$(SETUP) lint
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: ## Build the documentation into .cache/docs
	@$(SETUP) docs
	$(RUN) sphinx --fail-on-warning --keep-going docs .cache/docs

venv: ## Make or refresh .venv with all that the other commands want
	@$(SETUP) demo test lint docs

clean: ## Remove what these commands made: .venv, caches, the demo's data
	@if [ -x .venv/bin/python ]; then $(RUN) example_project.embedded_postgres remove .demo/pg || true; fi
	rm -rf .venv .cache .demo .tox .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
