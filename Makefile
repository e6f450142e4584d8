# make run    an environment, then the story told on a sample volume
# make test   the same, with the system packages of the oracles, the linters and the whole suite
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= $(shell nproc)
PYTEST ?=

.PHONY: run test pictures lint bench lock samples system clean
.DELETE_ON_ERROR:

run: $(VENV)/.run samples
	rm -rf .cache/demo
	$(BIN)/sbtk demo --dir .cache/demo

test: system $(VENV)/.dev samples lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --durations=15 $(PYTEST)

pictures: system $(VENV)/.dev samples
	$(BIN)/python -m tools.pictures

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: system $(VENV)/.dev
	$(BIN)/python -m benchmarks

samples: $(VENV)/.run
	$(BIN)/python -m sbtk.samples data/samples

# The pinned files name versions only: where packages come from is the machine's affair.
lock: $(VENV)/.dev
	$(BIN)/pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --upgrade $(LOCK_OPTIONS) -o requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet $(LOCK_OPTIONS) -c requirements.lock --extra dev -o requirements-dev.lock pyproject.toml

LOCK_OPTIONS := --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header \
                --strip-extras --no-annotate

system:
	tools/system-packages.sh packages.debian.txt

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/pip install --quiet -r requirements-dev.lock
	touch $@

clean:
	rm -rf $(VENV) .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
