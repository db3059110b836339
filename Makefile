# make run    from text to an assistant on the default data
# make test   the tests
# make help   all targets
#
# Each target first makes the targets that it needs. PYTHON selects the interpreter (3.11 to 3.13).
# TORCH_INDEX selects a package index for torch only, such as PyTorch's CPU index on a Linux machine
# without a GPU.

PYTHON ?= python3
RECIPE ?= chat
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.DEFAULT_GOAL := help
# Test files run in parallel. One process runs all tests of a file and makes their shared fixtures.
BESIDE := -n auto --maxprocesses 4 --dist loadfile
# A different fifth of the slow tests each day.
SHARE ?= $(shell echo $$(( $$(date +%s) / 86400 % 5 )))/5
.PHONY: help setup run test test-all test-share lint ui schema constraints clean

help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY) ## Install everything into .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is needed; choose one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) \
	  "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(READY) ## Make all assets of the recipe RECIPE (chat): text, tokens, model, assistant, report
	$(BIN)/dragon run $(RECIPE)

test: $(READY) ## Run the tests, without the slow ones
	$(BIN)/pytest -m "not slow and not gpu" $(BESIDE)

test-all: $(READY) ## Run all tests
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,harness]'
	$(BIN)/pytest

test-share: $(READY) ## Run a fifth of the slow tests, chosen by the date (or by SHARE=0/5)
	$(BIN)/pytest -m "slow and not gpu" --share $(SHARE)

lint: $(READY) ## Run ruff, mypy and Dagster's own validation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dagster definitions validate -w workspace.yaml

ui: $(READY) ## Run Dagster and MLflow on this machine, until Ctrl-C
	$(BIN)/dragon ui

schema: $(READY) ## Write recipes/recipe.schema.json for editors
	$(BIN)/dragon schema > recipes/recipe.schema.json

constraints: $(READY) ## Write constraints.txt from the installed packages
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean: ## Remove .venv and .dragon (databases, reports, downloaded packages); the store stays
	rm -rf $(VENV) .dragon
