# The commands of this repository; `make help` lists them. Needs Python 3.11, 3.12 or 3.13, make and git.

PORT ?= 7071
VENV := .venv
FUNCTIONS_VENV := .venv-functions
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
# Test files run side by side, for most of them wait: more at once than a small machine has cores, and one more of those
# that never wait (tests/support/side_by_side.py). They start in the order of tests/conftest.py.
WORKERS ?= 6
SIDE_BY_SIDE = --side-by-side $(WORKERS)
OTHER_PYTEST = .venv-3.$*/bin/python -m pytest
# Where images switch bytecode off, each process would compile pytest's plugins, the tests and us anew: 4 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run run-keyless unit plain-half plain-rest test coverage versions check format lint types fix infra package lock locked soak bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/ready $(FUNCTIONS_VENV)/ready ## Create the environments that all targets use

$(VENV)/ready: requirements-dev.txt scripts/venv.sh
	@sh scripts/venv.sh $(VENV) requirements-dev.txt 3.11 3.12 3.13

# The real Functions runtime exists for Python 3.13 only; without one, the tests on it say that they are skipped.
$(FUNCTIONS_VENV)/ready: requirements.txt requirements-worker.txt scripts/venv.sh
	@sh scripts/venv.sh --optional $(FUNCTIONS_VENV) "requirements.txt requirements-worker.txt" 3.13

# Table Storage's emulator, from npm; Node comes from PyPI where the machine has none.
.azurite/ready: scripts/azurite.sh $(VENV)/ready
	@sh scripts/azurite.sh .azurite $(BIN)/python

run: $(VENV)/ready ## Run the gateway with a simulated Azure behind it (or GATEWAY_CONFIG=FILE), on PORT
	@$(BIN)/python scripts/run.py --port $(PORT)

run-keyless: $(VENV)/ready ## The same without a key: vault, managed identity and Entra ID are doubles
	@$(BIN)/python scripts/run_keyless.py --port $(PORT)

# Tests that wait for nothing: two plain runs of them, about as long as each other.
HALVES = $(MAKE) --no-print-directory -j 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync)
PLAINLY = $(PYTEST) -q -m "not system and not soak" $(if $(PROFILE),--hypothesis-profile=$(PROFILE))
HALF = $(addprefix tests/,config limits)
plain-half:
	@$(PLAINLY) $(HALF)
plain-rest:
	@$(PLAINLY) $(HALF:%=--ignore=%)

unit: $(VENV)/ready ## Run the tests that need no processes, sockets or Azurite
	@$(HALVES) plain-half plain-rest PROFILE=quick

test: setup .azurite/ready ## Run the tests
	@sh scripts/clients.sh .clients $(BIN)/python
	@$(PYTEST) -q -m "not soak" --ignore=tests/infra $(SIDE_BY_SIDE)

coverage: setup .azurite/ready ## Run the tests and tell what they do not reach; watching makes Python almost three times as slow
	@$(PYTEST) -m "not soak" --ignore=tests/infra $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered

# The other versions of Python on which the embedded host runs; where there is no interpreter, a notice.
.PRECIOUS: .venv-3.%/ready
.venv-3.%/ready: requirements-dev.txt scripts/venv.sh
	@sh scripts/venv.sh --optional .venv-3.$* requirements-dev.txt 3.$*

test-on-3.%: .venv-3.%/ready
	@if [ -e $< ]; then $(HALVES) plain-half plain-rest PROFILE=quick PYTEST="$(OTHER_PYTEST)"; else echo "NOT TESTED ON PYTHON 3.$*: there is none."; fi
	@if [ -e $< ]; then $(OTHER_PYTEST) -q -m "not soak" -k "embedded and not asyncio" $(SIDE_BY_SIDE) tests/flows; fi

versions: test-on-3.12 test-on-3.14 ## Run what needs no processes, and the flows on the embedded host, on Python 3.12 and 3.14

check: setup format lint types locked infra test versions ## Format, lint, types, lock, templates and tests: what must pass

format: $(VENV)/ready
	@$(BIN)/ruff format --check .

lint: $(VENV)/ready
	@$(BIN)/ruff check .

types: $(VENV)/ready
	@$(BIN)/mypy

fix: $(VENV)/ready ## Format, and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

infra: setup ## Build and lint the templates of infra/ and check what they would deploy; needs a Bicep compiler
	@$(PYTEST) tests/infra

package: $(VENV)/ready ## Make what is deployed, with its bill of materials, in dist/
	@$(BIN)/python scripts/package.py dist

lock: $(VENV)/ready ## Resolve requirements*.in into requirements*.txt, with hashes
	@sh scripts/lock.sh $(BIN)

locked: $(VENV)/ready
	@sh scripts/lock.sh --check $(BIN)

soak: setup .azurite/ready ## The long runs
	@$(PYTEST) -m soak -s
	@$(PYTEST) -q -m "hypothesis and not soak and not system" --hypothesis-profile=search $(SIDE_BY_SIDE)

bench: setup .azurite/ready ## Measure; prints the tables of docs/performance.md
	@$(BIN)/python -m benchmarks

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-* .azurite .clients .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
