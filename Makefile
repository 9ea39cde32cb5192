# Everything happens in .venv; a bare machine needs Python 3.11 or newer and make.
#   make demo    real runs, advice, and how it compares   (installs no torch)
#   make test    all checks
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench clean

demo: $(VENV)/demo.stamp
	$(BIN)/python -m examples.demo $(ARGS)

test: lint
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/dev.stamp
	@for name in record.rate record.bulk record.kill ask.latency recommend.static; do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf $(VENV) demo-out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[plot]"
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e ".[dev]"
	@touch $@ $(VENV)/demo.stamp

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Headstart needs Python 3.11 or newer, and $(PYTHON) is " \
		+ sys.version.split()[0] + "; name another: make PYTHON=python3.12" \
		if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
