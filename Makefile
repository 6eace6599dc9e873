# Needs make and Python >= 3.11; `make` alone lists the targets.
VENV := .venv
BIN := $(VENV)/bin
PROTOC := .cache/protoc/bin/python
# What is installed: enough to run and demo, or also all that tests and checks need.
RUN := $(VENV)/.embedded
DEV := $(VENV)/.dev
# Work-stealing: each worker begins with one half of the tests, so that it shares their fixtures.
PYTEST := $(BIN)/pytest -n 2 --dist worksteal
QUICK := --hypothesis-profile=quick -m 'not slow' tests/unit tests/golden

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick test-one coverage lint type bench fuzz quality docs proto lock clean FORCE

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' Makefile | expand -t 12

setup: $(DEV) ## make .venv with Tocsin and all that tests need in it, up to date
demo: $(RUN) ## start a broker and a Redis, a fleet of agents with incidents, and watch the alerts
	@$(BIN)/tocsin demo
test: $(DEV) ## run every test, fast ones first, on a real Kafka where there is one
	@echo "test: unit and golden tests; some minutes on two cores"
	@$(PYTEST) tests/unit tests/golden
	@echo "test: contract and end-to-end tests on a broker and a Redis; some minutes"
	@$(BIN)/pytest tests/contract tests/e2e
quick: $(DEV) ## run the tests that need no server, on fewer cases, slow ones left out; all, or NAME=expression
	@$(PYTEST) $(QUICK) $(if $(NAME),-k '$(NAME)')
test-one: $(DEV) ## run the tests whose names match, of any folder: make test-one NAME='loop and not tool'
	@$(if $(NAME),,echo "make test-one NAME=... says which; NAME is a pytest -k expression" >&2; exit 2)
	@$(BIN)/pytest -k '$(NAME)'
coverage: $(DEV) ## say which lines `make quick` leaves untested; some minutes longer than that
	@$(PYTEST) $(QUICK) --cov=tocsin --cov-report=term-missing:skip-covered
lint: $(DEV) ## check style, format and who imports whom
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo
type: $(DEV) ## check types
	@$(BIN)/mypy
bench: $(DEV) ## measure speed: Kafka to Redis beside a bare poll loop, then each stage
	@for part in ingest store decode cost detect replay; do \
		echo "== $$part"; $(BIN)/python tests/bench/bench_$$part.py || exit 1; done
fuzz: $(DEV) ## check each law on 1,000 new cases, then throw mutated messages at decode for ten minutes, or SECONDS=n
	@$(PYTEST) --hypothesis-profile=fuzz -m hypothesis tests/unit tests/golden
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install -q -e '.[fuzz]'
	@$(BIN)/python tests/fuzz/run.py $(or $(SECONDS),600)
proto: ## generate the readers of Jaeger's and Zipkin's protobuf from src/tocsin/**/*.proto
	@test -x $(PROTOC) || { python3 -m venv .cache/protoc && \
		$(PROTOC) -m pip install -q 'grpcio-tools==1.64.3' 'setuptools<81'; }
	@$(PROTOC) -m grpc_tools.protoc -I src --python_out=src --pyi_out=src \
		src/tocsin/flow/decode/protobuf/*.proto
quality: $(DEV) ## measure what is detected, on simulations and public data; writes docs/quality.md
	@cd tests && ../$(BIN)/python -m quality
docs: $(DEV) ## write docs/rules.md, the README's table of rules and the schemas again
	@.ci/docs $(VENV)
lock: $(RUN) ## raise the versions in requirements/ to the newest that pyproject.toml allows
	@.ci/lock $(VENV)
clean: ## remove all that was made here
	@rm -rf $(VENV) .cache .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# A stamp names the checkout it was made in: a moved or copied one is set up again.
elsewhere = $(if $(filter $(CURDIR),$(shell cat $(1) 2>/dev/null)),,FORCE)
SETUP := .ci/setup .ci/pip_for_uv.py pyproject.toml clients/python/pyproject.toml requirements/tools.txt

$(RUN): $(SETUP) requirements/embedded.txt $(call elsewhere,$(RUN))
	@.ci/setup $(VENV) embedded
	@echo $(CURDIR) > $@
$(DEV): $(SETUP) requirements/dev.txt $(call elsewhere,$(DEV))
	@.ci/setup $(VENV) dev
	@echo $(CURDIR) | tee $(RUN) > $@
