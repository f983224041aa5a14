# Every target makes .venv from constraints.txt when it is missing or stale, and works from a clean clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo test serve bench lint types
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/installed ## make .venv with everything in it

$(VENV)/installed: constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and f"crowdrun needs Python 3.11 to 3.13, {sys.executable} is {sys.version.split()[0]}; set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar on --constraint constraints.txt --editable '.[dev]'
	mkdir -p build/links/crowdrun
	for layer in api data predictor training; do ln -sfn ../../../$$layer build/links/crowdrun/$$layer; done
	touch $@

demo: setup ## the whole loop on a real log: prediction, run, measurement, back into the log
	$(BIN)/crowdrun demo

test: setup ## every test; those whose service is absent are skipped with a reason
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup

serve: setup ## the REST service on the loopback interface; whoever asks from this machine may do all
	$(BIN)/crowdrun serve --trust-local admin

bench: setup ## speed, measured; writes build/bench/report.md
	$(BIN)/python -m tests.bench

lint: setup ## ruff: style and mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy --strict
	$(BIN)/mypy
