PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRITON := $(VENV)/triton/manifest.json
# Where pip takes torch from; empty means the default index.
TORCH_INDEX ?=
# Programs of Debian that some tests start; a test skips and says so where one is missing.
TOOLS := postgresql chromium libpython3.11
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install tools run test lint format clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Build .venv with every pinned package

run: $(STAMP) ## Tune, compare, report and register, in about 15 minutes on two cores
	@$(BIN)/umo run

tools: ## Install the Debian programs that tests start, where root can
	@missing=$$(for tool in $(TOOLS); do dpkg -s $$tool >/dev/null 2>&1 || echo $$tool; done); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then \
		echo "installing" $$missing; \
		export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
		apt-get -qq update; \
		for tool in $$missing; do \
			apt-get -qq -y --no-install-recommends install $$tool >/dev/null \
			|| echo "not installed: $$tool; the tests that need it are skipped"; \
		done; \
	fi

test: $(STAMP) tools $(TRITON) ## Run the tests
	@$(BIN)/pytest -q

lint: $(STAMP) ## Check format, lint, types, imports and spelling
	@$(BIN)/ruff format --no-cache --check .
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell

format: $(STAMP) ## Format the code and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove .venv and the caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# torch first and alone: a later requirement can then no longer bring another build of it.
$(STAMP): pyproject.toml constraints.txt
	@echo "building $(VENV): a few minutes the first time"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(BIN)/pip install -qq -c constraints.txt -e '.[dev]'
	@touch $@

# Exit codes 2 and 3: this machine cannot run it, and the tests that need it are skipped.
$(TRITON): serving/umo_serving/environment.py | $(STAMP) tools
	@$(BIN)/umo serve setup; code=$$?; \
	case $$code in 0) test ! -f $@ || touch $@;; 2|3) ;; *) exit $$code;; esac
