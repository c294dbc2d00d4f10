# `make demo`, `make paint` and `make test` need only Python and git on the machine; everything else they set up themselves.
VENV ?= .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := $(VENV)/Scripts
EXE := .exe
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif

# Threads of torch that wait do so asleep (scdm/start.py): here for what is not begun by a program of ours.
export OMP_WAIT_POLICY ?= PASSIVE

# Processes that share the tests: "auto" is one for each core, 0 is none beside pytest's own.
TEST_WORKERS ?= auto

# The ComfyUI that COMFYUI_DIR and COMFYUI_PYTHON name or, without them, one that `make comfyui` installs: the oldest that
# the nodes support.
COMFYUI_URL ?= https://github.com/comfyanonymous/ComfyUI
COMFYUI_TAG ?= v0.3.64
COMFYUI_HOME := .comfyui
CHECKOUT := $(or $(COMFYUI_DIR),$(CURDIR)/$(COMFYUI_HOME)/ComfyUI)
SERVER_PYTHON := $(or $(COMFYUI_PYTHON),$(if $(COMFYUI_DIR),$(PYTHON),$(CURDIR)/$(COMFYUI_HOME)/venv/bin/python))

.PHONY: demo paint test lint types layers docs comfyui test-comfyui clean

demo: $(VENV)/.installed
	mkdir -p demo
	$(BIN)/python -m scdm sample scdm/assets/examples/*.png -o demo --model scenes-fast --seed 15 \
	  --sheet demo/overview.png --sheet-width 1500
	@echo "Open $(CURDIR)/demo/overview.png: the example layouts beside their images, which are in the same folder."

# A page to paint on, whose image follows; PAINT_ARGS are of `scdm paint`.
paint: $(VENV)/.installed-paint
	$(BIN)/python -m scdm paint $(PAINT_ARGS)

test: $(VENV)/.installed-dev lint types layers
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal --durations=15

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# The site of the documentation, which opens from disk. A link or an anchor that leads nowhere fails; external ones are not
# fetched.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "The documentation is in $(CURDIR)/build/docs/index.html."

# A server with this pack. It works in a folder of ours: a checkout of the user's own stays as it is.
comfyui: $(if $(COMFYUI_DIR),,$(COMFYUI_HOME)/.installed) | $(COMFYUI_HOME)/.gitignore
	@mkdir -p $(COMFYUI_HOME)/base/custom_nodes $(COMFYUI_HOME)/base/models/scdm
	@ln -sfn "$(CURDIR)" $(COMFYUI_HOME)/base/custom_nodes/scdm
	@echo "Starting $(CHECKOUT). Its models, input and output are in $(CURDIR)/$(COMFYUI_HOME)/base."
	@echo "Open the address that it prints; Workflow, Browse Templates, scdm has layout_to_image, which runs as it is."
	"$(SERVER_PYTHON)" "$(CHECKOUT)/main.py" --base-directory "$(CURDIR)/$(COMFYUI_HOME)/base" \
	  --database-url sqlite:///:memory: $$("$(SERVER_PYTHON)" -c '$(CPU_WITHOUT_GPU)') $(COMFYUI_ARGS)

CPU_WITHOUT_GPU = import torch; \
  print("" if torch.cuda.is_available() or torch.xpu.is_available() or torch.backends.mps.is_available() else "--cpu")

# The nodes and the server in ComfyUI's own environment, which stays as it is: pytest is borrowed from beside it.
test-comfyui: $(if $(wildcard $(CHECKOUT)/main.py),$(COMFYUI_HOME)/pytest)
ifeq ($(wildcard $(CHECKOUT)/main.py),)
	@echo "Skipped, there is no ComfyUI: set COMFYUI_DIR and COMFYUI_PYTHON, or have one installed by 'make comfyui'."
else
	COMFYUI_DIR="$(CHECKOUT)" COMFYUI_PYTHON="$(SERVER_PYTHON)" \
	  "$(SERVER_PYTHON)" -c '$(BORROWED_PYTEST)' $(COMFYUI_HOME)/pytest -rs tests/nodes
endif

BORROWED_PYTEST = import sys; sys.path.append(sys.argv[1]); import pytest; sys.exit(pytest.main(sys.argv[2:]))

$(COMFYUI_HOME)/.installed: requirements.txt | $(COMFYUI_HOME)/.gitignore
	@echo "COMFYUI_DIR is not set: ComfyUI $(COMFYUI_TAG) goes into $(COMFYUI_HOME), with an environment of its own."
	test -d $(COMFYUI_HOME)/ComfyUI || \
	  git clone --quiet --depth 1 --branch $(COMFYUI_TAG) $(COMFYUI_URL) $(COMFYUI_HOME)/ComfyUI
	$(PYTHON) -m venv $(COMFYUI_HOME)/venv
	$(COMFYUI_HOME)/venv/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r $(COMFYUI_HOME)/ComfyUI/requirements.txt -r requirements.txt "transformers<5" # which brings requests along
	touch $@

$(COMFYUI_HOME)/pytest: $(BIN)/python$(EXE) requirements.lock | $(COMFYUI_HOME)/.gitignore
	$(BIN)/python -m pip --python "$(SERVER_PYTHON)" install --quiet --disable-pip-version-check \
	  --upgrade --target $@ -c requirements.lock pytest hypothesis
	touch $@

$(COMFYUI_HOME)/.gitignore:
	mkdir -p $(@D)
	echo '*' > $@

$(BIN)/python$(EXE):
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# requirements.lock pins what the environment is made of; the packages' own metadata only give lower bounds.
$(VENV)/.installed: $(BIN)/python$(EXE) pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[train,paint,dev]"
	touch $@

$(VENV)/.installed-paint: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[paint]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) $(addprefix $(COMFYUI_HOME)/,.installed ComfyUI venv pytest) demo build/docs .pytest_cache .mypy_cache .ruff_cache
