# `make demo` and `make test` need only Python and git on the machine; everything else they set up themselves.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types layers clean

demo: $(VENV)/.installed
	mkdir -p demo
	$(BIN)/python -m scdm sample scdm/assets/examples/*.png -o demo --count 2 --sheet demo/overview.png
	@echo "The images are in $(CURDIR)/demo; overview.png shows them beside their layouts."

test: $(VENV)/.installed-dev lint types layers
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# requirements.lock pins what the environment is made of; the packages' own metadata only give lower bounds.
$(VENV)/.installed: $(BIN)/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[train,eval,dev]"
	touch $@

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
