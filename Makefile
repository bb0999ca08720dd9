# `make demo` and `make test` set up what is missing and run; a second run reuses everything.
PYTHON ?= python3
MODEL ?= foley
RUNS ?= 10
BENCH_SIZE ?=
MINUTES ?= 30
TIMES ?= 1000
REQUESTS ?= 10000
SEED ?= 1
SERIES ?= 20
PAIRS ?= 40
NOTE ?=
SLOW :=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Every process of tests would compile each module that it imports, as `make setup` compiles none.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup engine demo test test-all unit integration e2e coverage lint bench bench-server gpu-check soak malformed residency restarts published aa requirements reference clean

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup: $(READY)  ## the virtual environment, with every package pinned and hashed

$(READY): tools/dev.txt tools/setup.sh pyproject.toml
	PYTHON=$(PYTHON) tools/setup.sh $(VENV)
	@touch $@

engine: $(READY)
	@$(BIN)/prebake engine up

demo: engine  ## build foley from its sample, start it, send it a clip, show the measured start
	$(BIN)/prebake demo --model foley

# Three processes of tests on two cores, as a test that uses the Engine waits for it some of the time.
PYTEST := $(BIN)/python -m pytest -q --durations=30 --durations-min=5
COVERAGE := $(BIN)/coverage

test: engine  ## lint, types, and all tests that are not marked slow: unit, integration, e2e
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) tests/unit -n 2
	$(PYTEST) tests/integration tests/e2e -n 3 $(SLOW)

test-all: SLOW = --slow
test-all: test  ## the same, and the slow tests

unit: setup  ## the tests that need Python alone: no torch, no ONNX Runtime, no Engine
	$(PYTEST) tests/unit -n 2

integration: setup  ## the tests with torch, ONNX Runtime and server processes, without an Engine
	$(PYTEST) tests/integration -n 2 $(SLOW)

e2e: engine  ## the tests that build and start images
	$(PYTEST) tests/e2e -n 3 $(SLOW)

coverage: engine  ## which lines of prebake, entrypoints and images the tests run, without containers; slower than make test
	@mkdir -p build/coverage
	-$(COVERAGE) run --rcfile=tools/coverage.rc -m pytest -q tests -n 3 --slow
	$(COVERAGE) combine -q --rcfile=tools/coverage.rc
	$(COVERAGE) report --rcfile=tools/coverage.rc

lint: setup  ## what a commit has to pass
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet action.yml .github

bench: engine  ## MODEL=foley RUNS=10: against the naive image, and pushing against docker's; BENCH_SIZE=1GB: a large sample, started alone
	$(BIN)/prebake bench --model $(MODEL) --runs $(RUNS) $(if $(BENCH_SIZE),--size $(BENCH_SIZE))
ifeq ($(BENCH_SIZE),)
	$(BIN)/python -m tests.benchmarks.push
	$(BIN)/python -m tests.benchmarks.change
	$(BIN)/python -m tests.benchmarks.memory
	$(BIN)/python -m tests.benchmarks.sessions
	$(BIN)/python -m tests.benchmarks.torch_cache
	$(BIN)/python -m tests.benchmarks.ranges
	$(BIN)/python -m tests.benchmarks.server
endif

bench-server: engine  ## of make bench: throughput of minilm against a bare Starlette application, with batches and without, latency at saturation
	$(BIN)/python -m tests.benchmarks.server

gpu-check:  ## PYTHON=python3, one with torch for CUDA, safetensors and numpy: what only a GPU can tell, into docs/measurements/gpu.md; no Docker
	$(PYTHON) -m tests.gpu_check --write

# The long runs, each of which writes its section of docs/measurements/long-runs.md. tests/e2e/long has a sample of each.
LONG = --write $(if $(NOTE),--note '$(NOTE)')
soak malformed residency restarts aa: MODEL = minilm

soak: engine  ## MINUTES=30 MODEL=minilm: a container under steady load of good and hostile requests: memory, open files, threads, answers
	$(BIN)/python -m tests.long.soak --minutes $(MINUTES) --model $(MODEL) $(LONG)

malformed: engine  ## REQUESTS=10000 SEED=1 MODEL=minilm: hostile requests: statuses, log, liveness, the right answer at the end
	$(BIN)/python -m tests.long.malformed --requests $(REQUESTS) --seed $(SEED) --model $(MODEL) $(LONG)

residency: engine  ## TIMES=1000 MODEL=minilm: loads and unloads of a model, and two models under a memory budget for one
	$(BIN)/python -m tests.long.residency --times $(TIMES) --model $(MODEL) $(LONG)

restarts: engine  ## TIMES=1000 MODEL=minilm: a container stopped and killed again and again starts each time; about an hour
	$(BIN)/python -m tests.long.restarts --times $(TIMES) --model $(MODEL) $(LONG)

published: engine  ## init and build of the graphs in some published packages; downloads 180 MB
	$(BIN)/python -m tests.long.published $(LONG)

aa: engine  ## SERIES=20 PAIRS=40 MODEL=minilm: an image gated against itself at a limit of 0 %: how often the verdict is wrong
	$(BIN)/python -m tests.long.aa --series $(SERIES) --pairs $(PAIRS) --model $(MODEL) $(LONG)

requirements: setup  ## lock every requirements file again
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/lock-requirements.sh

reference: $(READY)  ## docs/reference and docs/image.schema.json, from the code
	$(BIN)/python -m tools.reference

clean:  ## remove what was built here; the cache stays
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache
