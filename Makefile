# `make demo` and `make test` do everything, from a fresh clone on. They need Python 3.11 or later and make.

PYTHON ?= $(firstword $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p; done; true))
BIN := .venv/bin
STAMP := .venv/.installed
PACKAGES := adapters infra pipelines strategies topics

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos scale bench bench-recovery proto lint types pytest format lock check-lock up down clean distclean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## virtual environment in .venv with the locked dependencies

$(STAMP): requirements.lock pyproject.toml $(wildcard topics/*.[ch])
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, as python3 or by make PYTHON=<path>"; exit 1; }
	@test -x $(BIN)/python || { echo "creating .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; } \
		|| { rm -rf .venv; echo "$(PYTHON) cannot make virtual environments (on Debian: install python3-venv)"; exit 1; }
	@echo "installing the locked dependencies into .venv (a minute or two the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile \
		--require-hashes --only-binary :all: --requirement requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-index \
		--no-deps --no-build-isolation --editable .
	@$(BIN)/python -m topics.native
	@touch $(STAMP)

demo: setup ## trade for a minute on the simulated exchange (CAPTURE="<file> …": on a recording of any venue), verify, report
	@$(BIN)/tapedeck demo $(foreach capture,$(CAPTURE),--capture "$(capture)")

test: lint types pytest ## all checks and all tests

lint: setup ## style, format and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: setup ## mypy --strict
	@$(BIN)/mypy $(PACKAGES)

pytest: setup ## the tests alone, whole systems last and one at a time (ARGS=<pytest arguments>)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/end_to_end $(ARGS)
	@$(BIN)/python -m pytest tests/end_to_end --durations 5 $(ARGS)

chaos: setup ## kill everything at random under load and faults, judge each round (ROUNDS=20 SEED=1 FIRST=1)
	@$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),20) --seed $(or $(SEED),1) --first $(or $(FIRST),1)

bench: setup ## what each step costs, as ratios to the plainest thing that does it (ONLY="hop stages feed paths checks gateway audit backtest report")
	@$(BIN)/python -W ignore -m tests.bench $(ONLY)

scale: setup ## two workers a stage; one leaves, another joins, and it is judged as chaos is
	@$(BIN)/python -W ignore -m tests.chaos.scale

bench-recovery: setup ## from SIGKILL to caught up, with a million records of state (KEYS= FACTS=)
	@$(BIN)/python -m tests.chaos.recovery $(if $(KEYS),--keys $(KEYS)) $(if $(FACTS),--facts $(FACTS))

format: setup ## format the code and repair what ruff can repair
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

proto: setup ## the code generated from infra/proto
	@PATH=$(BIN):$$PATH $(BIN)/python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. \
		--mypy_out=quiet:. --mypy_grpc_out=quiet:. infra/proto/tapedeck/v1/*.proto

lock: setup ## resolve the dependencies anew: requirements.lock, and Kafka's files in kafka.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--extra dev --output-file requirements.lock pyproject.toml
	@$(BIN)/python -m infra.services.maven

check-lock: setup ## that Kafka's files resolve to what kafka.lock pins (network)
	@$(BIN)/python -m infra.services.maven --check

up: setup ## start Kafka and Postgres
	@$(BIN)/tapedeck services up

down: setup ## stop them
	@$(BIN)/tapedeck services down

clean: ## remove caches
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	@find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the data folder and .venv too, after stopping the services
	@test ! -x $(BIN)/tapedeck || $(BIN)/tapedeck services down
	@rm -rf .tapedeck .venv *.egg-info
