# Every target sets up what it needs on first use; only Python 3.11+ and make are needed before.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# tests of rollouts spend most of their time waiting: three times the cores that CI has
WORKERS ?= 6
# the tests start hundreds of processes, each of which would compile the project anew where this is set
unexport PYTHONDONTWRITEBYTECODE

.PHONY: rollout unit test packages sequences chaos chaos-sequences chaos-failures chaos-kills chaos-outages scale-test image-test check fix
.PHONY: bench audit clean help
.DEFAULT_GOAL := help

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

rollout: $(READY)  ## The main job: watch a model being rolled out on this machine
	@$(BIN)/saferollout demo

# three processes for two cores, for some tests wait; each more costs four seconds of imports
unit: $(READY)  ## The unit tests, but for the slow ones, in half a minute
	@$(BIN)/pytest tests/unit -m "not slow" -n 3

test: $(READY) packages  ## All tests
	@$(BIN)/pytest -n $(WORKERS) --dist loadgroup

packages:
	@.ci/packages

sequences: $(READY)  ## Two thousand random steps of local Azure, by both clients
	@LOCALAZURE_STEPS=2000 $(BIN)/pytest -n 0 tests/integration/localazure/test_sequences.py

# each mishap is added to build/chaos.jsonl, from which the page is written: a part may be run again, or later
CHAOS := SAFEROLLOUT_TALLY=build/chaos.jsonl SAFEROLLOUT_RELIABILITY=docs/reliability.md $(BIN)/pytest -o timeout=0
chaos: chaos-sequences chaos-failures chaos-kills chaos-outages  ## Kill and fail all that can, for an hour, and write docs/reliability.md

chaos-sequences: $(READY)
	@mkdir -p build
	@SAFEROLLOUT_SEQUENCES=20000 $(CHAOS) -n 2 tests/chaos/long_sequences.py

chaos-failures: $(READY)
	@mkdir -p build
	@SAFEROLLOUT_FAILURES=500 SAFEROLLOUT_STALE_S=90 $(CHAOS) -n 0 tests/chaos/test_failures.py

chaos-kills: $(READY)
	@mkdir -p build
	@SAFEROLLOUT_KILLS=300 $(CHAOS) -n 0 tests/chaos/test_kills.py

chaos-outages: $(READY)
	@mkdir -p build
	@SAFEROLLOUT_ROUNDS=12 $(CHAOS) -n 0 tests/chaos/long_outages.py

scale-test: $(READY)  ## Ten rollouts at once on PostgreSQL, Redis and three workers, one of which is killed
	@.ci/packages scale
	@$(BIN)/python -m bench.scale

image-test: $(READY)  ## Build the image on a base of Debian's packages, and roll a model out by it (as root)
	@.ci/packages image
	@$(BIN)/python -m bench.image

check: $(READY)  ## Linters, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --num-workers 2
	@$(BIN)/lint-imports

fix: $(READY)  ## Let the linter mend and format what it can; make check says what is left
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: $(READY)  ## The measurements that the docs quote
	@$(BIN)/python bench/judge.py
	@$(BIN)/python bench/gateway.py
	@$(BIN)/python -m bench.way_back
	@$(BIN)/python -m bench.served

# an advisory service that cannot be reached, or does not know a package, fails the audit
audit: $(READY)  ## An SBOM (build/sbom.json, CycloneDX) of all pinned packages, and a check for known vulnerabilities
	@mkdir -p build
	@$(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements constraints.txt \
		--output-format JSON --output-file build/sbom.json
	@$(BIN)/uv tool run --quiet --from pip-audit==2.10.1 pip-audit --requirement constraints.txt \
		--no-deps --disable-pip --strict --progress-spinner off

clean:  ## Remove the environment and everything that was made
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# compiled at once, for many short processes would otherwise do it again and again, or each for itself;
# compat: a line in a .pth file, instead of an import hook that would be half of what a process costs to start
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try make PYTHON=python3.12")'
	@echo "Setting up the environment in .venv (about a minute, once) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade --constraint constraints.txt setuptools uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
		--config-setting editable_mode=compat --editable '.[local,page,redis,dev]'
	@touch $@
