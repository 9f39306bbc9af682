# Everything a newcomer needs: `make demo` and `make test`. Both build the environment first where there is none.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What installs packages: pip, or uv, which takes two fifths of the time, but does not read pip's settings (a mirror, for
# example) and leaves compiling to the first import.
INSTALLER ?= pip
install.pip := $(BIN)/python -m pip install
install.uv := $(BIN)/uv pip install --python $(BIN)/python
# Processes that run tests, each about 5 GB of memory; servers of one version run in one of them.
JOBS ?= 2
# Of `make paper`: the folder of the corpora, and models, each NAME or LABEL=NAME.
DATA ?= $(CROSSALIGN_DATA)
MODEL ?= intfloat/multilingual-e5-base

# Images of containers often keep Python from writing what it has compiled. Each of the thousands of processes of the
# tests would compile all that it imports again: those of the command line would take twice the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: native setup demo paper demo-live test test-fast test-cluster-models lint types check opensearch benchmarks clean help

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt $(wildcard native/src/*) native/CMakeLists.txt native/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip $(filter uv,$(INSTALLER))
	$(install.$(INSTALLER)) --quiet --constraint constraints.txt --editable '.[offline,datasets,train,lora,aws,openvino]' --group dev
	tools/build_native.sh $(BIN)/python
	@touch $@

native: $(STAMP)  ## Build again what counts exact ranks with 8-bit products (C++17).
	tools/build_native.sh $(BIN)/python

setup:  ## Install what the tests need besides Python (Debian): Chromium, Maven, a JDK, OpenSSL, a C++ compiler.
	tools/setup_debian.sh

demo: $(STAMP)  ## Audit a real model on the sample that ships with the package.
	$(BIN)/crossalign demo

paper: $(STAMP)  ## Measure MODEL as the paper does; DATA is the folder of XQuAD and Belebele (docs/corpora.md).
	$(BIN)/crossalign benchmark paper --data "$(DATA)" $(foreach model,$(MODEL),--model "$(model)")

demo-live: $(STAMP)  ## Start a real OpenSearch, load the sample as index prod and audit it.
	$(BIN)/python tools/demo_live.py

FAST := not server and not browser and not data and not model and not training and not process and not exhaustive

# Of both: a process that dies ends the run, as xdist may wait for ever for one that replaces it.
TESTS := --numprocesses $(JOBS) --dist loadfile --max-worker-restart 0

test-fast: $(STAMP)  ## Run the quick tests: no server, browser, data, real model, training, further process or long table.
	$(BIN)/python -m pytest $(TESTS) -m "$(FAST)"

test: $(STAMP)  ## Run all tests; says which were left out because this machine lacks what they need.
	$(BIN)/python -m pytest $(TESTS)

test-cluster-models: $(STAMP)  ## Run the tests of models inside OpenSearch (fetches 390 MB once).
	CROSSALIGN_CLUSTER_MODELS=1 $(BIN)/python -m pytest -m cluster_models tests/opensearch

lint: $(STAMP)  ## Lint, check the format and the layers.
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/ruff format --check .

types: $(STAMP)  ## Check the types of the package.
	$(BIN)/mypy

check: lint types test  ## Everything that CI runs.

opensearch: $(STAMP)  ## Start a real OpenSearch from Maven Central's parts; Ctrl-C stops it.
	$(BIN)/python tools/opensearch_server.py

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@touch $@

benchmarks: $(VENV)/.bench  ## Run every benchmark (minutes; quiet machine, please).
	@for script in benchmarks/speed/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## Remove the environment and what tools left behind.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
