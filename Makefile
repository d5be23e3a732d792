PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME := $(CURDIR)

.PHONY: demo test test-spark test-all lint docs ui dist clean install

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install ## simulate a small fan platform and run the whole graph over it
	$(BIN)/wemart demo

test: install ## the test suite, without slow tests and those on Spark
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow and not spark"

test-spark: install ## the tests on Spark, which need Java 17 or later
	$(BIN)/python -m pytest -m spark

test-all: install ## every test
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install ## the documentation site, in site/; fails on a link or an anchor that leads nowhere
	$(BIN)/zensical build --strict --clean

ui: install ## Dagster's UI on the demo lake
	$(BIN)/wemart ui

dist: install ## the wheel and the sdist, for `pip install` elsewhere: dist/
	rm -rf build dist
	$(BIN)/python -m build --no-isolation --outdir dist .

clean:
	rm -rf $(VENV) .wemart build dist site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
