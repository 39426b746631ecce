# PhantomDB: one entry point. A fresh clone, python3 >= 3.11 with venv, and a C compiler are all it takes.
#
#   make demo       build, then the main job on real data (flights of New York, 2013), with a report
#   make test       build, lint, types, layers, and the fast tests
#   make test-long  every test: crash sweeps, long runs, packaging; the fast ones also on the checked builds
#   make bench      asv suite, then PhantomDB beside LMDB, LevelDB and RocksDB
#   make lint       ruff, mypy, import-linter, tidy and stub tests, a strict build
#   make build      only the extensions     make debug  the invariants build, in build/debug/lib
#   make clean      remove what was built; the virtual environment stays (make distclean removes it too)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := setup.py $(wildcard core/_ext/*.pyx core/_ext/*.pxd core/_ext/*.h)
# Under a checked build only what runs the engine.
ENGINE_TESTS := --ignore=tests/test_tidy.py --ignore=tests/test_stubs.py --ignore=tests/test_packaging.py
DURATIONS := --durations=10 --durations-min=0.5
BENCH_ARGS ?= --engines lmdb,plyvel,rocksdict,phantomdb --scale 0.2 --runs 3
PEERS := $(wildcard ../shared/bench/kv_peers.py)
# what a caller set for another environment must not leak into ours
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build build-tested demo test test-fast test-long test-long-sample test-debug test-address lint bench \
        debug clean distclean

help:
	@sed -n '3,10s/^# *//p' Makefile

# The environment: build tools first, since the project is built without isolation (its extensions are compiled once,
# here, and not again in a temporary folder).
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "PhantomDB needs Python 3.11 or newer; say make PYTHON=/path/to/python3"; exit 1; }
	@echo "== virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "no venv: on Debian, apt-get install python3-venv"; exit 1; }

$(VENV)/.tools: pyproject.toml | $(BIN)/python
	@echo "== build tools"
	@$(PIP) install -q "setuptools>=77" "cython>=3.1,<4"
	@touch $@

$(VENV)/.built: $(SOURCES) $(VENV)/.tools
	@echo "== compiling $(words $(wildcard core/_ext/*.pyx)) extensions (only what changed)"
	@mkdir -p build
	@$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.built
	@echo "== project and its dependencies"
	@$(PIP) install -q --no-build-isolation -e '.[demo]'
	@touch $@

# What only tests and lint need.
$(VENV)/.tools-for-tests: pyproject.toml | $(VENV)/.installed
	@echo "== what tests need"
	@$(PIP) install -q --no-build-isolation -e '.[test]'
	@touch $@

build: $(VENV)/.built $(VENV)/.installed

build-tested: build $(VENV)/.tools-for-tests

demo: build
	@$(BIN)/python docs/examples/flights.py

lint: build-tested
	@echo "== strict build"; PHANTOMDB_STRICT=1 $(BIN)/python setup.py -q build_ext --inplace
	@echo "== ruff";          $(BIN)/ruff check -q .
	@echo "== mypy";          $(BIN)/mypy
	@echo "== import-linter"; $(BIN)/lint-imports
	@echo "== tidy, stubs";   $(BIN)/pytest -q tests/test_tidy.py tests/test_stubs.py

test-fast: build-tested
	@echo "== tests, fast tier"
	@$(BIN)/pytest -q $(DURATIONS)

test: lint test-fast

test-long: lint test-debug test-address
	@echo "== tests, all"
	@$(BIN)/pytest -q $(DURATIONS) -m "long or not long"

test-long-sample: build-tested
	@echo "== tests, sample of the long tier"
	@$(BIN)/pytest -q $(DURATIONS) -m "long and sample"

# The checked builds are whole packages outside the tree; PYTHONPATH puts one before the one in place.
debug: build-tested
	@echo "== invariants build"
	@PHANTOMDB_DEBUG=1 $(BIN)/python setup.py -q build

test-debug: debug
	@echo "== tests, fast tier, on the invariants build"
	@PYTHONPATH=build/debug/lib $(BIN)/pytest -q $(ENGINE_TESTS)

# libstdc++ has to be there from the start: only then AddressSanitizer finds what throws C++ exceptions, as DuckDB does.
test-address: build-tested
	@echo "== AddressSanitizer build"
	@PHANTOMDB_SANITIZE=address $(BIN)/python setup.py -q build
	@echo "== tests, fast tier, under AddressSanitizer"
	@LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so.6)" \
	  ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
	  PYTHONPATH=build/address/lib $(BIN)/pytest -q $(ENGINE_TESTS)

$(VENV)/.bench: pyproject.toml $(VENV)/.installed
	@echo "== what benchmarks need"
	@$(PIP) install -q --no-build-isolation -e '.[bench]'
	@touch $@

bench: $(VENV)/.bench
	@echo "== asv, quick"
	@cd asv_bench && ../$(BIN)/asv machine --yes >/dev/null && ../$(BIN)/asv run --quick --python=same --show-stderr
	@echo "== beside its peers"
ifneq ($(PEERS),)
	@$(BIN)/python $(PEERS) $(BENCH_ARGS)
else
	@$(BIN)/python asv_bench/compare.py
endif

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache asv_bench/.asv
	find core frontends cluster tests asv_bench phantomdb -name '*.so' -delete -o -name __pycache__ -prune -exec rm -rf {} +
	rm -f $(VENV)/.built $(VENV)/.installed $(VENV)/.tools-for-tests $(VENV)/.bench

distclean: clean
	rm -rf $(VENV)
