# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo interop test lint types unit soak bench lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 — \2/p' Makefile

$(STAMP): requirements-dev.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh "$(VENV)" requirements-dev.lock
	@touch "$(STAMP)"

setup: $(STAMP) ## create .venv from the hash-pinned lock file

demo: setup ## replay a working day through the whole product and count every change
	@"$(RUN)/portalctl" demo

interop: setup ## install the JavaScript clients that the interop tests run
	@"$(RUN)/python" tools/install_interop.py

test: setup lint types interop ## everything CI runs: linters, types, all tests
	@"$(RUN)/python" -m pytest -n 3 --dist loadfile --no-loadscope-reorder  # a third one works while the others wait

unit: setup ## only the tests that need no server
	@"$(RUN)/python" -m pytest tests/unit

lint: setup ## style and import directions
	@"$(RUN)/ruff" check .
	@"$(RUN)/ruff" format --check .
	@"$(RUN)/lint-imports" --no-logo

types: setup ## static types
	@"$(RUN)/mypy" & one=$$!; "$(RUN)/basedpyright" --level error; two=$$?; wait $$one && exit $$two

soak: setup ## the fault matrix at length: 1,000 faults, 20,000 changes, every scenario (half an hour)
	@"$(RUN)/python" -m tests.faults.soak; one=$$?; "$(RUN)/python" -m pytest -m soak && exit $$one

lock: ## renew the lock files (needs uv in .venv)
	@sh tools/lock.sh

clean: ## remove everything that was set up here
	@rm -rf "$(VENV)" .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
