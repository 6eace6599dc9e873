# Needs make and Python >= 3.11; `make` alone lists the targets.
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick lint type bench fuzz clean FORCE

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  \1	/p' Makefile

setup: $(STAMP) ## make .venv with Tocsin in it, up to date
demo: setup ## start a broker and a Redis, a fleet of agents with incidents, and watch the alerts
	@$(BIN)/tocsin demo
test: setup ## run every test, fast ones first, on a real Kafka where there is one
	@$(BIN)/pytest -n 2 tests/unit tests/golden
	@$(BIN)/pytest tests/contract tests/e2e
quick: setup ## run the tests that need no server, each law on fewer cases, slow ones left out
	@$(BIN)/pytest -n 2 --hypothesis-profile=quick -m 'not slow' tests/unit tests/golden
lint: setup ## check style, format and who imports whom
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo
type: setup ## check types
	@$(BIN)/mypy
bench: setup ## measure speed: Kafka to Redis beside a bare poll loop, then each stage
	@for part in ingest store decode cost detect replay; do \
		echo "== $$part"; $(BIN)/python tests/bench/bench_$$part.py || exit 1; done
fuzz: setup ## throw mutated messages at decode for ten minutes, or SECONDS=n
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install -q -e '.[fuzz]'
	@$(BIN)/python tests/fuzz/run.py $(or $(SECONDS),600)
quality: setup ## measure what is detected, on simulations and public data; writes docs/quality.md
	@cd tests && ../$(BIN)/python -m quality
clean: ## remove all that was made here
	@rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# The stamp names the checkout it was made in: a moved or copied one is set up again.
$(STAMP): pyproject.toml clients/python/pyproject.toml .ci/setup $(if $(filter $(CURDIR),$(shell cat $(STAMP) 2>/dev/null)),,FORCE)
	@.ci/setup $(VENV)
	@echo $(CURDIR) > $@
