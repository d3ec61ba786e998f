# The same words everywhere; `make` alone lists them. Every target makes what it needs first.
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
.DEFAULT_GOAL := help

BIN := .venv/bin
SETUP := sh deploy/dev/setup.sh
GUARDS := tests/test_layout.py tests/test_house_rules.py tests/test_cases.py tests/test_docs.py tests/test_doctests.py
# A process for each core, each with a database of its own. A file's tests stay together, in the order of
# conftest.py; PROCESSES=0 runs all in one, for a debugger.
PYTEST = $(BIN)/pytest -n $(or $(PROCESSES),auto) --maxprocesses 8 --dist loadfile --no-loadscope-reorder
export ROWHOUSE_PYTHON ?= $(PYTHON)

UV = $$(command -v uv || echo .rowhouse/uv/bin/uv)
LOCK = "$(UV)" pip compile --quiet --universal --python-version 3.12 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

# ONCE=1, ONCE=yes …; ONCE=0 and ONCE=no are as good as nothing.
said = $(filter-out 0 no,$($(1)))

.PHONY: help setup browser demo test lint format types arch ci bench faults rehearse image docs chart lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: ## Make .venv from requirements.lock [PYTHON=/path/to/python]
	@$(SETUP)

browser: ## Find a Chromium for the browser tests, or install Debian's
	@sh deploy/dev/browser.sh

demo: setup ## Do the whole main job on real files, then serve it [ONCE=1 PORT=8000 DATA=folder RESET=1]
	@$(BIN)/rowhouse demo $(if $(call said,ONCE),--once --json) $(if $(call said,RESET),--reset) \
		$(if $(PORT),--port "$(PORT)") $(if $(DATA),--data "$(DATA)")

test: setup ## Run the usual tests, or ALL=1 of them [T="importer/tests -k preview"] [BROWSER=no] [PROCESSES=n]
ifeq ($(BROWSER),no)
	@$(PYTEST) -m "not browser$(if $(call said,ALL),, and not slow)" $(T)
else
	@ROWHOUSE_BROWSER="$$(sh deploy/dev/browser.sh)" && export ROWHOUSE_BROWSER && \
		$(PYTEST) $(if $(call said,ALL),,-m "not slow") $(T)
endif

lint: setup ## Check style, formatting and import direction
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYTHONPATH="$(CURDIR)/platform" $(BIN)/lint-imports

format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: setup ## Check types (mypy --strict with the Django plugin)
	@# The plugin reads the settings, and needs no server; the examples are apps like any developer's own.
	@DATABASE_URL=postgresql://nobody@localhost/nothing ROWHOUSE_EXTRA_APPS=importer.examples.stock $(BIN)/mypy

arch: setup ## Check import direction and the project-wide guard tests
	@PYTHONPATH="$(CURDIR)/platform" $(BIN)/lint-imports
	@$(BIN)/pytest -q $(GUARDS)

ci: lint types arch ## Everything continuous integration checks
	@$(MAKE) test ALL=1

bench: setup ## Measure imports and exports against \copy, background work, lists, lists as of a moment, changes, retention, memory, tenants, or mixed traffic [OF=imports|exports|jobs|datasets|asof|changes|retention|visits|tenancy|load] [ROWS=1000000] [TENANTS=1000]
	@case "$(or $(OF),imports)" in imports|exports|jobs|datasets|asof|changes|retention|visits|tenancy|load) ;; *) echo "OF=$(OF): imports, exports, jobs, datasets, asof, changes, retention, visits, tenancy or load" >&2; exit 2;; esac
	@$(BIN)/python -m benchmarks.$(or $(OF),imports) $(if $(ROWS),--rows "$(ROWS)") $(if $(TENANTS),--tenants "$(TENANTS)")

faults: setup ## Kill, restart and cut connections, then check that nothing is lost or done twice [SHORT=1 SEED=n ONLY=storm,nth]
	@$(BIN)/python -m benchmarks.faults $(if $(call said,SHORT),--short) $(if $(SEED),--seed "$(SEED)") \
		$(if $(ONLY),--only "$(ONLY)")

rehearse: setup ## Lose server and bucket under traffic, and bring everything back [SHORT=1]
	@$(BIN)/python -m benchmarks.fleet.recovery $(if $(call said,SHORT),--short)

image: setup ## As root: build the image with buildah on Debian's base, and run the wheel's tests in its files
	@ROWHOUSE_IMAGE_ROOT="$$(sh deploy/dev/image.sh | tail -n 1)" && export ROWHOUSE_IMAGE_ROOT && \
		$(BIN)/pytest -q -n 0 tests/test_wheel.py

docs: setup ## Make the README's transcript and pictures and the tables of settings anew
	@mkdir -p docs/screenshots
	@ROWHOUSE_BROWSER="$$(sh deploy/dev/browser.sh)" && export ROWHOUSE_BROWSER && \
		ROWHOUSE_SCREENSHOTS="$(CURDIR)/docs/screenshots" $(BIN)/pytest -q tests/test_browser.py tests/test_browser_jobs.py \
		tests/test_browser_imports.py tests/test_browser_records.py tests/test_browser_exports.py \
		tests/test_browser_restoring.py
	@$(BIN)/python -m tests.transcript
	@$(BIN)/python -m tests.settings_page

chart: setup ## Make anew what the chart holds of settings and comments
	@$(BIN)/python -m tests.helm.writing

lock: setup ## Write the three requirements*.lock anew from pyproject.toml: all, what runs, what builds the image
	@$(LOCK) pyproject.toml --all-extras --group dev --group build --output-file requirements.lock
	@$(LOCK) pyproject.toml --extra otel --extra sentry --constraint requirements.lock --output-file requirements-runtime.lock
	@$(LOCK) --constraint requirements.lock --group build --output-file requirements-build.lock

clean: ## Remove .venv and caches; the demo's data in .rowhouse/ stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist .rowhouse/uv .rowhouse/cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
