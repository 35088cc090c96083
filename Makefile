# Everything a developer or a new user runs. `make demo` and `make test` need nothing before them.
VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.everfresh-setup

# Processes that run tests. Half of them wait for Kafka and Ray most of the time, so two cores
# carry four.
TEST_WORKERS ?= 4

.PHONY: setup demo test test-fast check bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "everfresh needs Python 3.11 or newer; found $$(python3 --version)"; exit 1; }
	@test -x $(PY) || python3 -m venv $(VENV)
	@echo "Installing pinned dependencies into $(VENV) (torch and ray are large; some minutes the first time)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[all,dev]'
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

bench: setup
	@$(PY) -m benchmarks $(NAME) $(ARGS)

clean:
	rm -rf $(VENV) .everfresh build *.egg-info .pytest_cache .mypy_cache .ruff_cache
