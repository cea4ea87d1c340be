# Each target sets up what it needs in .venv; the first takes a few minutes for the download of PyTorch.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell command -v sudo)

.PHONY: demo app test page-test chromium lint bench

demo: $(VENV)/demo-installed
	$(BIN)/python model_demo.py

app: $(VENV)/app-installed
	$(BIN)/python app.py

# On two to four cores; a thread each, since what is computed here is too small for more.
test: $(VENV)/dev-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The page in a real browser.
page-test: $(VENV)/dev-installed chromium
	$(BIN)/python -m pytest tests/web

# A browser for the tests, which skip the page where there is none; installed where it is missing.
chromium:
	command -v chromium || command -v chromium-browser || command -v google-chrome || \
		{ $(SUDO) apt-get update && $(SUDO) apt-get install --yes chromium; } || \
		{ echo "error: install Chromium so that \`chromium\` starts it, then try again" >&2; exit 1; }

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/bench-installed
	$(BIN)/python benchmarks/front_end.py
	$(BIN)/python benchmarks/demo_start.py
	$(BIN)/python benchmarks/one_clip.py
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/occlusion.py
	$(BIN)/python benchmarks/markets.py
	$(BIN)/python benchmarks/folder.py
	$(BIN)/python benchmarks/long_mix.py
	$(BIN)/python benchmarks/page_load.py
	$(BIN)/python benchmarks/hostile_requests.py
	$(BIN)/python benchmarks/loading_memory.py
	$(BIN)/python benchmarks/hard_audio.py
	$(BIN)/python benchmarks/mutated_audio.py
	$(BIN)/python benchmarks/damaged_files.py
	$(BIN)/python benchmarks/killed_runs.py
	$(BIN)/python benchmarks/library_scan.py
	$(BIN)/python benchmarks/library_export.py
	$(BIN)/python benchmarks/library_index.py
	$(BIN)/python benchmarks/tagging.py
	$(BIN)/python benchmarks/cluster_scan.py
	$(BIN)/python benchmarks/hostile_services.py
	if [ -e data/splits.csv ]; then \
		$(BIN)/python benchmarks/training_time.py && $(BIN)/python benchmarks/similar.py && \
		$(BIN)/python benchmarks/unfamiliar.py && $(BIN)/python benchmarks/moods.py && \
		$(BIN)/python benchmarks/distributed_training.py; \
	else echo "the rest needs songs; run data_collection.py and data_loading.py first"; fi

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed, $(PYTHON) is older; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Said before the first installation, which downloads PyTorch.
define ANNOUNCE
	@$(BIN)/python -c 'import torch' 2>/dev/null || echo \
		"This downloads PyTorch and some small packages into $(VENV): on Linux 5 GB, the CUDA build, which runs on the" \
		"CPU as well; elsewhere some 200 MB. To get the small CPU build on Linux, press Ctrl-C now and see Install in README.md."
endef

$(VENV)/demo-installed: pyproject.toml requirements.txt | $(BIN)/python
	$(ANNOUNCE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	touch $@

$(VENV)/app-installed: pyproject.toml requirements-app.txt requirements.txt | $(BIN)/python
	$(ANNOUNCE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-app.txt -e .
	touch $@

$(VENV)/dev-installed: pyproject.toml requirements-dev.txt requirements-app.txt requirements.txt | $(BIN)/python
	$(ANNOUNCE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -e .
	touch $@

$(VENV)/bench-installed: pyproject.toml benchmarks/requirements.txt requirements-app.txt requirements.txt | $(BIN)/python
	$(ANNOUNCE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt -e .
	touch $@
