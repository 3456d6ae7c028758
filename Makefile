# `make help` lists the targets. Everything is installed into .venv, from the locked versions.
# The programs of .venv are run by its Python where they name it in their first line: the checkout may lie under any
# path, one with a quotation mark, too.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config.yaml
# Holds back a Ctrl-C until Python can do without a traceback; only GNU's env can.
HOLDING = $(shell env --block-signal=INT true 2>/dev/null && echo env --block-signal=INT,TERM,HUP)
export CONFIG PYTHON FILE DATABASE REPLACE AS_OF

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run settings shell migrate change-secret sample backup restore new-history check format pin test test-unit test-integration test-contract chaos lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.runtime ## install what the platform needs into .venv

setup-dev: $(VENV)/.dev ## install what the checks and the tests need as well

$(VENV)/.runtime: requirements.lock setup.sh
	@./setup.sh $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@./setup.sh $(VENV) requirements-dev.lock
	@touch $@

run: setup ## start everything in one process, with nothing else installed
	@exec $(HOLDING) $(BIN)/python standalone.py --config "$$CONFIG"

settings: setup ## every setting, its value, where that came from, and what it means
	@exec $(BIN)/python -m broker.config --config "$$CONFIG"

shell: setup ## a Python shell that reaches every service of the running platform
	@exec $(BIN)/python -m broker.shell --config "$$CONFIG"

migrate: setup ## bring both databases up to date
	@$(BIN)/python -m alembic -n auth upgrade head
	@$(BIN)/python -m alembic -n movies upgrade head

change-secret: setup ## encrypt the signing keys with another SIGNING_KEY_SECRET; asks for the old and the new one
	@$(BIN)/python -m auth.secret --config "$$CONFIG"

sample: setup ## load the sample catalogue where there are no movies yet
	@$(BIN)/python -m movies.sample --config "$$CONFIG"

backup: setup ## both databases into one file, while they are in use: FILE=... (its path is the last line)
	@$(HOLDING) $(BIN)/python -m broker.backup write --config "$$CONFIG" $${FILE:+--file "$$FILE"} $${REPLACE:+--replace}

restore: setup ## what such a file holds, as a new history: FILE=... [DATABASE=auth|movies] [REPLACE=yes]
	@$(HOLDING) $(BIN)/python -m broker.backup restore --config "$$CONFIG" $${DATABASE:+--database "$$DATABASE"} \
		$${REPLACE:+--replace} "$${FILE:?say which by FILE=...}"

new-history: setup ## after a restore by other means (docs/operations.md): [AS_OF=2030-01-31T04:00:00Z]
	@$(HOLDING) $(BIN)/python -m broker.backup new-history --config "$$CONFIG" $${AS_OF:+--as-of "$$AS_OF"}

check: setup-dev ## format, lint, types, layers, compose files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	./tests/check_compose.sh

format: setup-dev ## format the code, mend what the linter can, and bring up to date what is made of the settings
	$(BIN)/python -m broker.config --write
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pin: ## print lines for .env that pin the images of others by their digests (needs Docker and its registry)
	@sed -nE 's/.*\$$\{([A-Z_]+_IMAGE):-([^}]*:[^}]*)\}.*/\1 \2/p' docker-compose.yml docker-compose.prod.yml | sort -u | \
		while read -r name image; do \
			docker pull --quiet "$$image" >/dev/null && \
			echo "$$name=$$(docker image inspect --format '{{index .RepoDigests 0}}' "$$image")" || exit 1; \
		done

test: setup-dev ## run every test on private RabbitMQ, PostgreSQL and Redis (installs them where it can)
	@./tests/install_servers.sh
	@cd tests/javascript && npm ci --silent --no-audit --no-fund
	$(BIN)/python -m pytest

test-unit: setup-dev ## run the tests that need no servers
	$(BIN)/python -m pytest tests/unit

test-integration: setup-dev ## run the tests on real servers
	$(BIN)/python -m pytest tests/integration

test-contract: setup-dev ## run the contract's cases on the embedded default and the full deployment
	$(BIN)/python -m pytest tests/contract

chaos: setup-dev ## faults on real servers under load, about 32 minutes; puts the tables into docs/reliability.md
	@./tests/install_servers.sh
	$(BIN)/python -m tests.chaos all --report docs/reliability.md

lock: ## lock the newest versions that pyproject.toml admits, with hashes (needs uv)
	@for extra in "requirements.lock:" "requirements-dev.lock:--group dev"; do \
		uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header --no-annotate pyproject.toml $${extra#*:} --output-file $${extra%%:*} || exit 1; \
	done

clean: ## remove .venv and what the tools left; the data under var/ stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis tests/javascript/node_modules tests/bench/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
