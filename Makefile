PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
ASSETS := staticfiles/staticfiles.json
ASSET_SOURCES := $(shell find static package.json package-lock.json bundle.js -type f -not -path 'static/dist/*')
# Twice the cores of a small machine: many tests wait for other processes, and for seconds to pass.
WORKERS := 4
ARGS :=

.DEFAULT_GOAL := help
.PHONY: help install demo serve test lint types model bench soak chaos resume stranger schema screenshots catalogue docs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

install: $(ASSETS) ## Make .venv with everything that serving, testing and building pages need

demo: install ## Start everything, run the example flow, stay up (ARGS=--once: stop afterwards)
	$(PYTHON) -m examples.demo $(ARGS)

serve: install ## Start the platform here, until Ctrl-C (ARGS="--port 9000 --open")
	$(PYTHON) manage.py up $(ARGS)

test: lint types ## Lint, types, import contracts, and all tests on a stack of their own (ARGS="-k claim")
	deploy/chromium.sh
	$(PYTHON) -m compileall -q orchestrator tenants blocks runs
	$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: install ## Check style and import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	.venv/bin/lint-imports

types: install ## Check the SDK's types
	$(PYTHON) -m basedpyright

model: install ## Ask the server and a small model of it the same things (ARGS="--minutes 5")
	$(PYTHON) -m tests.model $(ARGS)

bench: install ## Measure, side by side with Prefect and Celery (ARGS="--quick --only import")
	$(PYTHON) -m benchmarks $(ARGS)

soak: install ## A million tasks in one flow: bounded memory, bounded journal, all recorded (ARGS="--mode map")
	$(PYTHON) -m benchmarks.soak $(ARGS)

chaos: install ## Break everything at random for 10 minutes, then prove that nothing is lost (ARGS="--minutes 2 --seed 3")
	$(PYTHON) -m tests.chaos $(ARGS)

schema: install ## Send any kind of request to a running server, by a key of each role (SCHEMA_EXAMPLES=100 SCHEMA_SEED=7)
	$(PYTHON) -m pytest -q tests/server/served_schema.py $(ARGS)

screenshots: install ## Make the screenshots of the README
	$(PYTHON) -m docs.screenshots $(ARGS)

resume: install ## Kill a run of 200 steps fifty times at random, and account for each side effect
	RESUME_KILLS=50 $(PYTHON) -m pytest -q tests/chaos/test_resume.py

stranger: install ## As root: follow the docs as two other users, one of them in a network of its own
	$(PYTHON) -m tests.stranger

catalogue: install ## Write down the block types of the SDK for the server
	$(PYTHON) -m orchestrator.blocks.catalogue blocks/catalogue.json

docs: install ## Write the reference, the command line's and the table of names from the code
	$(PYTHON) -m docs.cli
	$(PYTHON) -m docs.names
	$(PYTHON) -m docs.reference

lock: install ## Choose new versions of all libraries
	deploy/retry.sh $(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile pyproject.toml --extra server --extra blocks --extra test --extra examples --upgrade --universal --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links --output-file requirements.lock

clean: ## Remove what was installed and built; data stays
	rm -rf .venv .tools static/dist staticfiles build dist *.egg-info

.venv/bin/python:
	deploy/make-venv.sh

$(INSTALLED): requirements.lock pyproject.toml deploy/make-venv.sh | .venv/bin/python
	@echo "Installing the libraries into .venv; the first time takes about a minute."
	@deploy/retry.sh $(PYTHON) -m pip install -qq --disable-pip-version-check -r requirements.lock
	@deploy/retry.sh $(PYTHON) -m pip install -qq --disable-pip-version-check --no-deps -e .
	@touch $@

$(ASSETS): $(INSTALLED) $(ASSET_SOURCES)
	$(PYTHON) manage.py assets
	@touch $@
