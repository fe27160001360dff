# Two commands do everything: `make demo` shows memhp at work, `make test` runs every check.
# Both set up what is missing first; the second time they start at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# How long 'make fuzz' goes on.
MINUTES ?= 10
# How many tests run at the same time; those of one file share their guests, one after another.
JOBS ?= 2

.PHONY: help demo lab-demo test fuzz bench lint format clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(VENV)/.ready ## run the main job on the embedded model machine
	@scripts/demo $(BIN)/memhp

lab-demo: $(VENV)/.ready-dev ## replace a failing DIMM of a real Linux guest
	@scripts/packages
	@$(BIN)/python scripts/lab-demo $(BIN)/memhp

test: $(VENV)/.ready-dev ## set up what is missing and run every check
	@scripts/packages
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	scripts/guarded $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term

fuzz: $(VENV)/.ready-dev ## fuzz everything that is parsed, for MINUTES=10
	nice scripts/guarded $(BIN)/python tests/fuzz/long.py --minutes $(MINUTES)

bench: $(VENV)/.ready-dev ## measure, beside the peers, and print the figures
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

lint: $(VENV)/.ready-dev ## the quick checks alone
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(VENV)/.ready-dev ## put the code into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove what was set up
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .fuzz

$(VENV)/.ready: pyproject.toml scripts/venv
	@scripts/venv $(PYTHON) $(VENV) .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml scripts/venv
	@scripts/venv $(PYTHON) $(VENV) ".[dev]"
	@touch $@ $(VENV)/.ready
