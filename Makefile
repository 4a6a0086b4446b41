# Works with Python 3.11 and make alone. `make` lists the verbs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ZONE ?= DE
EXTRAS ?= dev
# A file of exact versions and hashes: nothing else is installed then.
LOCK ?=
PYTEST_ARGS ?= -n auto --dist loadgroup

.PHONY: help demo test check bench faults build clean

help: ## List the verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.examples ## Run the main job: submit, plan, run under the meter, report (ZONE=DE)
	$(BIN)/python examples/demo.py --zone $(ZONE)

# Tests start lowtide hundreds of times: none of these is to compile it again.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(VENV)/.dev ## Run the whole test suite with coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

check: $(VENV)/.dev ## Lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.bench ## Print the ratios of the benchmarks
	$(BIN)/python -m pytest -m benchmark -s -p no:randomly tests/benchmarks

faults: export LOWTIDE_FAULT_KILLS ?= 1000
faults: $(VENV)/.dev ## Kill processes 1,000 times over a life of many jobs (LOWTIDE_FAULT_SEED=...)
	$(BIN)/python -m pytest -p no:randomly -v -s tests/faults

build: $(VENV)/.dev ## Build wheel and source distribution
	$(BIN)/python -m build

clean: ## Remove what was built
	rm -rf $(VENV) build dist .demo .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.examples: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[examples]'
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml $(LOCK)
ifdef LOCK
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
else
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
endif
	touch $@

$(VENV)/.bench: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev,bench]'
	touch $@
