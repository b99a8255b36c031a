# Switchboard's commands. `make` alone lists them. Each installs what it needs and is quick when nothing changed.

PYTHON ?= python3
PORT   ?= 8000
export PORT

VENV := .venv
BENCH_VENV := .venv-bench
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# uv answers for every platform and Python that pyproject.toml allows, and one version of each package for all of them.
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --no-config --universal \
	--python-version 3.11 --fork-strategy fewest

.DEFAULT_GOAL := help
.PHONY: help run test check smoke soak bench lock upgrade clean venv install install-dev install-bench

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: install ## serve the chat on 127.0.0.1:8000 with demo accounts (PORT=8001 for another port)
	@$(BIN)/python deploy/check_port.py
	@echo "==> database and demo accounts"
	@DEBUG=1 $(BIN)/python manage.py migrate --verbosity 0
	@DEBUG=1 $(BIN)/python manage.py create_demo_accounts
	@echo
	@echo "  chat   http://127.0.0.1:$(PORT)/chat/    sign in as demo / demo"
	@echo "  admin  http://127.0.0.1:$(PORT)/admin/   sign in as admin / admin"
	@echo "  Ctrl-C ends it."
	@echo
	@DEBUG=1 PATH="$(CURDIR)/$(BIN):$$PATH" exec deploy/daphne.sh

test: install-dev ## run every test (ARGS="-k name" chooses; TIERS="sqlite" too)
	@$(BIN)/python -m tests.run $(ARGS)

check: install-dev ## lint, format, types, floors, locks
	@echo "==> ruff check" && $(BIN)/ruff check .
	@echo "==> ruff format" && $(BIN)/ruff format --check .
	@echo "==> mypy" && DEBUG=1 SECRET_KEY=only-for-the-type-checker $(BIN)/mypy
	@echo "==> floors, locks" && $(BIN)/python -m pytest -q tests/test_architecture.py tests/test_requirements.py

smoke: install-dev ## hold a conversation with a real server, meet every fault, find each record
	@$(BIN)/python -m tests.smoke

bench: install-bench ## measure every row of docs/performance.md (ROWS="route failure" chooses, QUICK=1 tries it out)
	@ROWS="$(ROWS)" ROUNDS="$(ROUNDS)" QUICK="$(QUICK)" $(BENCH_VENV)/bin/python -m bench

soak: install-dev ## break everything under load for SECONDS (60) from SEED (1), and compare (DATABASE PROCESSES REDIS: one shape)
	@SECONDS="$(SECONDS)" SEED="$(SEED)" DATABASE="$(DATABASE)" PROCESSES="$(PROCESSES)" REDIS="$(REDIS)" \
		$(BIN)/python -m tests.faults

lock: install-dev ## pin requirements*.in into requirements*.txt, keeping the versions that still fit
	@$(COMPILE) requirements.in --output-file requirements.txt
	@$(COMPILE) requirements-dev.in --output-file requirements-dev.txt
	@$(COMPILE) requirements-bench.in --output-file requirements-bench.txt

upgrade: install-dev ## like lock, with the newest versions that fit
	@$(COMPILE) --upgrade requirements.in --output-file requirements.txt
	@$(COMPILE) --upgrade requirements-dev.in --output-file requirements-dev.txt
	@$(COMPILE) --upgrade requirements-bench.in --output-file requirements-bench.txt

clean: ## remove what was installed and built here (not var/: that is data)
	rm -rf $(VENV) $(BENCH_VENV) staticfiles test-results htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A venv is remade when its Python is gone. pip is missing in one that another tool made.
venv:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version): make PYTHON=python3.11"; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || { \
		$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$(PYTHON) has no venv module: apt install python3-venv"; exit 1; }; \
		echo "==> creating $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null

# The lock that was installed is kept in the venv; equal means there is nothing to do, whatever the files' dates.
install: venv
	@cmp -s requirements.txt $(VENV)/requirements.txt || { \
		echo "==> installing requirements.txt"; \
		$(PIP) --requirement requirements.txt && cp requirements.txt $(VENV)/; }

install-dev: venv ## install what tests and checks need into .venv
	@cmp -s requirements-dev.txt $(VENV)/requirements-dev.txt || { \
		echo "==> installing requirements-dev.txt"; \
		$(PIP) --requirement requirements-dev.txt && cp requirements-dev.txt requirements.txt $(VENV)/; }

# A venv of its own: what is only compared with has no place beside the product.
install-bench: venv
	@$(BENCH_VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m venv --clear $(BENCH_VENV)
	@cmp -s requirements-bench.txt $(BENCH_VENV)/requirements.txt || { \
		echo "==> installing requirements-bench.txt"; \
		$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
			--requirement requirements-bench.txt && cp requirements-bench.txt $(BENCH_VENV)/requirements.txt; }
