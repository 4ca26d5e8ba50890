# Needs python3 (3.10 or newer, with venv), make and bash; every target sets up what it uses.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:

PYTHON ?= python3
VENV := .venv
VENV_TF5 := .venv-tf5
PY := $(VENV)/bin/python
PY_TF5 := $(VENV_TF5)/bin/python

# An editable install sees changed code, not changed metadata.
METADATA := pyproject.toml spacy_padellm/__init__.py

CONFIG := configs/en_padellm.cfg
PIPELINE := build/en_padellm
PIPELINE_SOURCES := $(CONFIG) $(shell find assets/adapter spacy_padellm -type f -not -name '*.pyc' 2>/dev/null)

# What depends on the version of transformers: networks with their caches and masks, adapters,
# tokenizers. Not the files whose models are scripted or random: what they need, a tokenizer,
# tests/tokenization covers.
TF5_TESTS := tests/engine tests/model tests/tokenization tests/decoding
WITHOUT_NETWORK := \
	tests/decoding/test_augmented.py \
	tests/decoding/test_constraint.py \
	tests/decoding/test_fuzz.py \
	tests/decoding/test_lattice.py \
	tests/decoding/test_scripted.py \
	tests/decoding/test_struct.py \
	tests/decoding/test_token_alignment.py \
	tests/engine/test_batching.py \
	tests/model/test_optimizer.py

export TOKENIZERS_PARALLELISM := false
# Threads that wait by spinning make a busy machine many times slower.
export OMP_WAIT_POLICY := passive
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo project test test-tf4 test-tf5 check format weights clean distclean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(PIPELINE)/meta.json | weights  ## find the entities of assets/sample.jsonl, write build/demo.html
	$(PY) scripts/demo.py $(PIPELINE) assets/sample.jsonl build/demo.html

project: $(VENV)/.installed-dev | weights  ## run project.yml: train on a sample, evaluate, package a wheel
	$(PY) -m spacy project run all

test: test-tf4 test-tf5  ## the whole test suite, then what touches the model under transformers 5

# One worker per core; each holds a model of 0.5 GB and more, so there are no more of them by default.
WORKERS := 2
# A worker that has no tests left takes some of another one's: no core idles beside a slow file.
PARALLEL := -n $(WORKERS) --dist worksteal

test-tf4: $(VENV)/.installed-dev | weights
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PARALLEL) tests

test-tf5: $(VENV_TF5)/.installed | weights
	OMP_NUM_THREADS=1 $(PY_TF5) -m pytest $(PARALLEL) -m "not slow" $(WITHOUT_NETWORK:%=--ignore=%) $(TF5_TESTS)

check: $(VENV)/.installed-dev  ## lint, format, types, order of imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.installed-dev  ## put imports and layout right
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

weights: $(VENV)/.installed  ## fetch and convert the default base, once for all checkouts
	$(PY) -m spacy padellm download

clean:  ## remove what was built, keep the environments
	rm -rf build corpus dist packages project.lock training spacy_padellm.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean  ## remove the environments too
	rm -rf $(VENV) $(VENV_TF5)

# The stamps come last in each recipe, so an interrupted install is made again, not trusted.
$(VENV)/.installed: $(METADATA) constraints.txt
	@echo "==> $(VENV): installing the package (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "==> $(VENV): installing the development tools"
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV_TF5)/.installed: $(METADATA) requirements-tf5.txt
	@echo "==> $(VENV_TF5): installing transformers 5 (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV_TF5)
	$(PY_TF5) -m pip install --quiet --requirement requirements-tf5.txt
	$(PY_TF5) -m pip install --quiet --no-deps --editable .
	@touch $@

# `spacy assemble` writes file by file: rename the whole, so that no half pipeline is ever loaded.
$(PIPELINE)/meta.json: $(VENV)/.installed $(PIPELINE_SOURCES) | weights
	rm -rf $(PIPELINE) $(PIPELINE).tmp
	$(PY) -m spacy assemble $(CONFIG) $(PIPELINE).tmp
	mv $(PIPELINE).tmp $(PIPELINE)
	@touch $@
