# Everything a developer or a new user runs. `make demo` and `make test` need nothing before them.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.everfresh-setup

# What is installed; the image does without what only developers need.
EXTRAS ?= all,dev

# Processes that run tests. Half of them wait for Kafka and Ray most of the time, so two cores
# carry four.
TEST_WORKERS ?= 4

.PHONY: setup demo test test-fast check pins bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { echo "everfresh needs Python 3.11 to 3.14; found $$($(PYTHON) --version 2>&1); name another one with: make PYTHON=/path/to/python3"; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) could not make the environment $(VENV); on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@echo "Installing pinned dependencies into $(VENV) (3 GB to download the first time; README.md says how it becomes 0.5 GB)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: setup
	@$(VENV)/bin/everfresh demo

test: setup
	@$(PY) -m pytest -n $(TEST_WORKERS)

# All tests that start no process: no Kafka, no Ray, no command of everfresh.
test-fast: setup
	@$(PY) -m pytest -n logical -m 'not integration and not process'

check: setup
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(PY) -m pytest -q -n 0 tests/infra/charts

# Whether constraints.txt can be installed on every Python that is supported. Installs nothing.
pins: setup
	@VENV=$(VENV) .ci/pins

bench: setup
	@$(PY) -m benchmarks $(NAME) $(ARGS)

clean:
	rm -rf $(VENV) .everfresh build *.egg-info .pytest_cache .mypy_cache .ruff_cache
