# `make help` lists everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo docs docs-serve docs-output chromium screenshots test test-uvloop test-pythons test-newest coverage test-python check drills interleavings functions bench bench-growth bench-disk bench-claims bench-waits bench-views bench-live bench-keep bench-quick mutants format migration kept-schema build release rehearsal clean

help: ## list what can be done
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make .venv with everything that development needs

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cw_store needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## run the main job: a small real supervisor, on this repository
	$(BIN)/python -m examples.supervisor --page

# Debian's, since Playwright's own would be fetched from elsewhere. Without one these tests are skipped.
chromium: ## install Chromium, which looks at the page in its tests, where it is missing
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& { timeout 240 apt-get install --yes -qq chromium || { timeout 60 apt-get update -qq && timeout 240 apt-get install --yes -qq chromium; }; } >/dev/null 2>&1; } \
		|| echo 'there is no Chromium: nothing looks at the page'

test: $(READY) chromium ## run the tests; the drills that measure times have the machine to themselves
	$(BIN)/python -m pytest --numprocesses auto -m "not alone"
	$(BIN)/python -m pytest -m alone tests/drills

test-uvloop: $(READY) chromium ## run the tests on uvloop's event loop, without the drills
	$(BIN)/python -m pytest --numprocesses auto --ignore tests/drills --uvloop

test-pythons: $(READY) ## run the tests on every other Python that this machine has, without drills and example
	@for python in $$($(BIN)/python tests/pythons.py); do \
		$(MAKE) --no-print-directory test-python OTHER=$$python || exit 1; \
	done

NEWEST = $$( { echo $(PYTHON); $(BIN)/python tests/pythons.py; } | tail -n 1)
# What meets the interpreter and its event loop.
CORE := tests/backends tests/contract tests/repos tests/statements

test-newest: $(READY) ## run the tests of the store itself on the newest of them and uvloop's event loop, on files alone
	@$(MAKE) --no-print-directory test-python OPTIONS='--uvloop --files-only' TESTS='$(CORE)' OTHER=$(NEWEST)

# What runs in processes of its own has its lines counted by nobody. Python counts them at hardly any
# cost from 3.12 on; before, the suite would take half as long again.
PROGRAMS := tests/live/browser tests/test_bench.py tests/test_contract.py tests/test_packaging.py tests/docs

coverage: $(READY) ## run the tests on the newest Python, on files alone, and count which lines they run: 95 % at least
	@COVERAGE_CORE=sysmon $(MAKE) --no-print-directory test-python \
		OPTIONS='--files-only --cov --cov-report=term --cov-fail-under=95 $(PROGRAMS:%=--ignore %)' OTHER=$(NEWEST)

test-python:
	@version=$$($(OTHER) -c 'import sys; print("%d.%d" % sys.version_info[:2])') && echo "Python $$version" && \
	$(MAKE) --no-print-directory setup PYTHON=$(OTHER) VENV=.venv-$$version && \
	.venv-$$version/bin/python -m pytest --numprocesses auto --ignore tests/drills --ignore tests/examples $(OPTIONS) $(TESTS)

check: $(READY) ## lint, format, types, imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --project pyproject.toml
	$(BIN)/lint-imports
	$(BIN)/python tests/import_circles.py

docs: $(READY) ## build the documentation into site/; a warning is an error
	$(BIN)/python tests/docs/build_site.py

docs-serve: $(READY) ## the same, served here, and built anew whenever a page changes
	$(BIN)/zensical serve

docs-output: $(READY) ## write anew what docs/ and tests/cli/golden/ say that commands print
	$(BIN)/python tests/docs/generated.py
	$(BIN)/python tests/cli/page.py
	$(BIN)/python tests/live/pictures.py
	CW_STORE_REWRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/cli/test_golden.py -k "not postgres"

screenshots: $(READY) chromium ## take the pictures of the page: all into a folder, some into docs/pictures/
	$(BIN)/python tests/live/browser/screenshots.py $(FOLDER)

drills: $(READY) ## the fault drills at full length: kills, cancellations, full disks (half an hour)
	CW_STORE_DRILLS=full $(BIN)/python -m pytest tests/drills -o faulthandler_timeout=1800

interleavings: $(READY) ## claims on PostgreSQL, statement by statement, in every order (some minutes)
	CW_STORE_DRILLS=full $(BIN)/python -m pytest tests/drills/test_interleavings.py

bench: $(READY) $(VENV)/.bench ## cw_store beside what people use instead: table, charts, JSON
	$(BIN)/python -m bench

bench-growth: $(READY) $(VENV)/.bench ## what a call costs when the tables grow, on both, and the memory
	$(BIN)/python -m bench growth

bench-disk: $(READY) $(VENV)/.bench ## many writers on a disk whose fsync takes 2, 10 and 300 ms
	$(BIN)/python -m bench disk

bench-claims: $(READY) $(VENV)/.bench ## claim and complete, beside the same steps by hand
	$(BIN)/python -m bench claims

bench-waits: $(READY) $(VENV)/.bench ## how soon somebody wakes, and what it costs that many wait
	$(BIN)/python -m bench waits

bench-views: $(READY) $(VENV)/.bench ## what it costs to look at 10,000 tasks and a million log chunks
	$(BIN)/python -m bench views

bench-live: $(READY) $(VENV)/.bench ## what it costs to watch 2,000 tasks and 200 agents, for 20 who look
	$(BIN)/python -m bench live

bench-keep: $(READY) $(VENV)/.bench ## a backup beside a writer, an export, an import, of a large store
	$(BIN)/python -m bench keep

bench-quick: $(READY) $(VENV)/.bench ## the same in a minute or two, saving nothing
	$(BIN)/python -m bench --quick

$(VENV)/.bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $@

functions: $(READY) ## count the functions and files that a call, a unit, a session, an opening pass through
	$(BIN)/python tests/count_functions.py

mutants: $(READY) $(VENV)/.mutants ## change the code a little, again and again: do the tests notice? (half an hour)
	$(BIN)/python tests/mutants.py $(FILES)

$(VENV)/.mutants: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,mutants]'
	@touch $@

format: $(READY) ## format, and fix what can be fixed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

migration: $(READY) ## write the next migration from schema.py: make migration m="what changes"
	@test -n "$(m)" || { echo 'say what changes: make migration m="…"'; exit 2; }
	@folder=$$(mktemp -d) && next=$$(printf '%04d' $$(( $$(ls alembic/versions/[0-9]*.py | wc -l) + 1 ))) \
		&& export CW_STORE_URL=$$folder/migration.db \
		&& $(BIN)/alembic upgrade head && $(BIN)/alembic revision --autogenerate --rev-id $$next -m "$(m)" \
		&& $(BIN)/ruff format --quiet alembic/versions; \
		status=$$?; rm -rf $$folder; exit $$status

kept-schema: $(READY) ## keep a database of the schema that is, for the tests of what comes after it
	$(BIN)/python tests/keep_schema.py

build: $(READY) ## build the wheel into dist/
	$(BIN)/python -m build --wheel

release: $(READY) $(VENV)/.release ## say whether a release is right: build it, try the wheel on each Python; uploads nothing
	$(BIN)/python tests/release.py

rehearsal: $(READY) $(VENV)/.release ## the same of whatever is in the tree, released or not
	$(BIN)/python tests/release.py --rehearse

$(VENV)/.release: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,release]'
	@touch $@

clean: ## remove what was built; the databases stay
	rm -rf $(VENV) .venv-* .cache build dist site .coverage .pytest_cache .ruff_cache .import_linter_cache .hypothesis
