# `make demo` and `make test` set up what is missing and run; a second run reuses everything.
PYTHON ?= python3
MODEL ?= foley
RUNS ?= 10
BENCH_SIZE ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup engine demo test lint bench gpu-check requirements clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup: $(READY)  ## the virtual environment, with every package pinned and hashed

$(READY): tools/dev.txt tools/setup.sh pyproject.toml
	PYTHON=$(PYTHON) tools/setup.sh $(VENV)
	@touch $@

engine: $(READY)
	@$(BIN)/prebake engine up

demo: engine  ## build foley from its sample, start it, send it a clip, show the measured start
	$(BIN)/prebake demo --model foley

test: engine  ## every test, lint and type check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.whole

lint: setup  ## what a commit has to pass
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

bench: engine  ## MODEL=foley RUNS=10: against the naive image, and pushing against docker's; BENCH_SIZE=1GB: a large sample, started alone
	$(BIN)/prebake bench --model $(MODEL) --runs $(RUNS) $(if $(BENCH_SIZE),--size $(BENCH_SIZE))
ifeq ($(BENCH_SIZE),)
	$(BIN)/python -m tests.benchmarks.push
	$(BIN)/python -m tests.benchmarks.change
	$(BIN)/python -m tests.benchmarks.memory
	$(BIN)/python -m tests.benchmarks.sessions
	$(BIN)/python -m tests.benchmarks.torch_cache
	$(BIN)/python -m tests.benchmarks.ranges
endif

gpu-check:  ## PYTHON=python3, one with torch for CUDA, safetensors and numpy: what only a GPU can tell, into docs/gpu.md; no Docker
	$(PYTHON) -m tests.gpu_check --write

requirements: setup  ## lock every requirements file again
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/lock-requirements.sh

clean:  ## remove what was built here; the cache stays
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache
