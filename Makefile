# The one list of commands. `make demo` and `make test` set up all they need on a machine with Python >= 3.11.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
# Not all of them: xgboost, catboost and torch bring gigabytes, which proof-formats installs in a place of its own.
DEV_EXTRAS := $(addprefix --extra ,demo lightgbm onnx postgres s3)

# Set, it would leave the environment without bytecode, and each process that is started would compile pandas anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt bench soak demo-proof proof-core proof-mlflow proof-formats proof-ray docs lock clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 15

demo: .venv/.demo $(if $(DATABASE),.venv/.dev) ## the whole loop on real flights, in a folder of its own
	@$(BIN)/ratchet demo $(if $(DATABASE),--database '$(DATABASE)')

# A file of tests goes to whichever core is free, the long ones first: none may need another to have run, or not to have.
# Tests of real processes can lose against a busy machine: what failed is named and tried once more, alone.
test: .venv/.dev ## all tests, on SQLite and PostgreSQL, with coverage
	@.ci/prepare postgresql chromium
	@start=$$(date +%s); status=0; \
	rm -f .coverage .coverage.*; \
	$(BIN)/coverage run -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder || status=$$?; \
	if [ $$status = 1 ]; then status=0; echo "make test: what failed has a second try, alone"; \
		$(BIN)/coverage run -m pytest --last-failed --last-failed-no-failures none || status=$$?; fi; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage json --quiet -o .coverage.json && \
		$(BIN)/python tests/coverage_floor.py .coverage.json || status=1; \
	echo "make test: $$(( $$(date +%s) - start )) s"; exit $$status

check: .venv/.dev ## format, lint, types, public names, architecture
	@start=$$(date +%s); set -ex; \
	$(BIN)/ruff format --check .; \
	$(BIN)/ruff check .; \
	$(BIN)/mypy; \
	$(BIN)/pyright; \
	$(BIN)/lint-imports; \
	set +x; echo "make check: $$(( $$(date +%s) - start )) s"

fmt: .venv/.dev ## put the code into the house's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.dev ## measure speed, peers in the same run (BENCH='runs appends' for some of it; about 20 minutes)
	@.ci/prepare postgresql redis-server
	$(BIN)/python -m bench $(BENCH)

soak: .venv/.dev ## run for hours under kill -9, lost disks and jumping clocks; goes on where it was
	@.ci/prepare postgresql
	$(BIN)/python -m tests.soak

demo-proof: .venv/.dev ## prove what the demo shows: the year with three seeds, the controls, the kills (about an hour)
	$(BIN)/python -m tests.demo_proof

proof-core: .venv/.dev ## see what an installation without extras does, in an environment of its own (a minute)
	$(BIN)/python -m tests.peers.proof_core

proof-mlflow: .venv/.dev ## import from a real MLflow server, in an environment of its own (some minutes)
	$(BIN)/python -m tests.peers.proof_mlflow

proof-formats: .venv/bin/python ## test all model formats, CatBoost and PyTorch too, in an environment of its own (some minutes)
	$(BIN)/python -m tests.peers.proof_formats $(if $(TORCH),--torch '$(TORCH)')

proof-ray: .venv/bin/python ## test steps on a real Ray cluster of two nodes, in an environment of its own (some minutes)
	$(BIN)/python -m tests.peers.proof_ray

docs: .venv/.dev ## write the generated parts of docs/reference
	@if [ -f docs/generate.py ]; then $(BIN)/python docs/generate.py; \
	else echo "No part of the docs is generated yet: docs/generate.py is missing."; exit 1; fi

lock: .venv/.dev ## bring requirements/*.lock to the newest versions within the bounds of pyproject.toml
	$(LOCK) --upgrade pyproject.toml $(DEV_EXTRAS) --group dev -o requirements/dev.lock >/dev/null
	$(LOCK) pyproject.toml --extra postgres -c requirements/dev.lock -o requirements/core.lock >/dev/null
	$(LOCK) pyproject.toml --extra demo --group build -c requirements/dev.lock -o requirements/demo.lock >/dev/null
	@! grep -nE '://|^-' requirements/*.lock || { echo "A lock file names a host or an option."; exit 1; }

clean: ## remove what tools leave behind; .venv stays
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* build dist
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# ---- the environment: a stamp for each lock, so that nothing is installed twice

.venv/.demo: requirements/demo.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.venv/.dev: requirements/dev.lock pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@ .venv/.demo

.venv/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Ratchet needs Python 3.11 or newer, and none was found. On Debian 12 or Ubuntu 24.04 and later:" >&2; \
		echo "    sudo apt-get install python3 python3-venv" >&2; \
		echo "Or name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: its module venv or ensurepip is missing. On Debian or Ubuntu:" >&2; \
		echo "    sudo apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
