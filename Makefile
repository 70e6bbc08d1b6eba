# Every target builds .venv itself. `make help` lists them.
PYTHON ?= python3
PORT ?= 3000
export GAN_STORE ?= $(CURDIR)/store
export DAGSTER_HOME ?= $(CURDIR)/.dagster
# Where it is set, every command compiles PyTorch and Dagster anew: seconds each time.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin

.PHONY: help demo test test-slow test-gpu test-engines gpu dev backfill answer check docs picture-book report-pictures audit lock vendor lint clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv (about a minute, 6 GB with PyTorch) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	@touch $@

$(DAGSTER_HOME)/dagster.yaml: dagster.yaml
	@mkdir -p $(DAGSTER_HOME)
	@test -e $@ -a "$(DAGSTER_HOME)" != "$(CURDIR)/.dagster" || { cp dagster.yaml $@.$$$$ && mv $@.$$$$ $@; }
	@touch $@

demo: .venv/installed $(DAGSTER_HOME)/dagster.yaml ## train three small GANs on digits and compare them (minutes on two cores)
	@$(BIN)/python -m pipelines backfill 'demo-*'

test: .venv/installed ## run the tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: .venv/installed ## run the tests that take minutes
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

test-gpu: .venv/installed ## run the tests that need a CUDA device
	@$(BIN)/python -m pytest -m gpu

test-engines: .venv/installed ## run whole sweeps, the UI, Slurm, PostgreSQL and Celery (these three where installed)
	@$(BIN)/python -m pytest -m engines

gpu: .venv/installed ## check and measure all that needs a CUDA device (20 minutes); benchmarks/results/gpu-*.md
	@$(BIN)/python -m benchmarks.gpu

dev: .venv/installed $(DAGSTER_HOME)/dagster.yaml ## open the Dagster UI on 127.0.0.1:3000 (PORT=... for another)
	@$(BIN)/python -m pipelines dev --port $(PORT)

backfill: .venv/installed $(DAGSTER_HOME)/dagster.yaml ## train and compare a choice: make backfill EXPERIMENTS="demo-dcgan demo-acgan"
	@test -n "$(EXPERIMENTS)" || { echo 'name the experiments: make backfill EXPERIMENTS="demo-*"'; exit 2; }
	@set -f; $(BIN)/python -m pipelines backfill $(EXPERIMENTS)

answer: .venv/installed $(DAGSTER_HOME)/dagster.yaml ## train what a question needs and answer it: make answer QUESTION=digits-diverse
	@test -n "$(QUESTION)" || { echo "name the question: make answer QUESTION=digits-diverse; there are:"; ls configs/questions; exit 2; }
	@$(BIN)/python -m pipelines answer "$(QUESTION)"

check: .venv/installed ## validate the configurations and the Dagster definitions
	@$(BIN)/dg check defs

docs: .venv/installed ## build the documentation as a site, site/index.html, with the API
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs site

picture-book: .venv/installed ## take the pictures of docs/ui.md anew (minutes; needs Chromium)
	@$(BIN)/python -m tests.picture_book

report-pictures: .venv/installed ## take the pictures of docs/report.md anew from the store's report (needs Chromium)
	@$(BIN)/python -m tests.report_pictures

audit: .venv/installed ## look the packages of requirements.lock up among known vulnerabilities, and list licences
	@$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip --strict
	@$(BIN)/pip-licenses --summary --from=mixed

lock: .venv/installed ## resolve requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --upgrade \
		pyproject.toml --extra dev -o requirements.lock

vendor: ## build the browser libraries of the report anew from npm
	@set -e; packages=$$(mktemp -d); trap 'rm -rf "$$packages"' EXIT; \
	cp gan_core/report/vendor/package.json $$packages; \
	npm install --prefix $$packages --no-package-lock --ignore-scripts --no-audit --no-fund --silent; \
	node gan_core/report/vendor/build.mjs $$packages

lint: .venv/installed ## check style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

clean: ## remove the demo's results and Dagster's state (not .venv)
	rm -rf store .dagster
