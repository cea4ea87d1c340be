# Each target sets up what it needs in .venv; the first takes a few minutes for the download of PyTorch.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench

demo: $(VENV)/demo-installed
	$(BIN)/python model_demo.py

test: $(VENV)/dev-installed
	$(BIN)/python -m pytest

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/bench-installed
	$(BIN)/python benchmarks/front_end.py
	$(BIN)/python benchmarks/demo_start.py
	$(BIN)/python benchmarks/folder.py
	$(BIN)/python benchmarks/loading_memory.py
	if [ -e data/splits.csv ]; then $(BIN)/python benchmarks/training_time.py; else \
		echo "training_time.py left out: it needs songs; run data_collection.py and data_loading.py first"; fi

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed, $(PYTHON) is older; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/demo-installed: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev-installed: requirements-dev.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/bench-installed: benchmarks/requirements.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	touch $@
