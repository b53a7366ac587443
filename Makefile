# Everything is made from a fresh clone with Python (>= 3.11 for the tests), make and a package index.
#   make demo   make the card of an encoder, embed the photographs in examples/photos, and say where to look first
#   make test   every check and every test
# The first run makes .venv; later runs change nothing in it and need no network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

DEMO_MODEL := vit_small_patch14_dinov2.lvd142m
DEMO_WEIGHTS ?= seed:0
DEMO_OUT := out/demo
CARD_MODEL := vit_small_patch16_dinov3.lvd1689m
CARD_WEIGHTS ?= seed:0
CARD_OUT := out/card
SOAK_OUT := out/soak

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo cards screenshots test lint parity golden verdict-power bench-peers bench-photos soak docs clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 4

# A virtual environment that is already there is used as it is.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable .
	@touch $@

# Everything a developer needs includes the run-time packages, so one installation serves both stamps.
$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	@touch $(RUNTIME) $@

# About two minutes on two cores, nearly all of it the card's verdict and measurement.
demo: $(RUNTIME)
	$(BIN)/snellen card $(CARD_MODEL) --weights $(CARD_WEIGHTS) --images examples/photos -o $(CARD_OUT)
	@mkdir -p $(DEMO_OUT)
	$(BIN)/snellen embed examples/photos -m $(DEMO_MODEL) --weights $(DEMO_WEIGHTS) -o $(DEMO_OUT)/photos.parquet
	$(BIN)/python examples/read_embeddings.py $(DEMO_OUT)/photos.parquet
	@echo "Look first at the card: $(CARD_OUT)/index.html in a browser, or $(CARD_OUT)/README.md"

# The cards of the five encoders that hand-written reports were made of, on the CPU and on a simulated NPU: out/cards.
cards: $(RUNTIME)
	$(BIN)/python tools/cards.py

# Whether the pages among docs/cards hold in a real browser: phone and desktop, light and dark, print. Needs chromium.
screenshots: $(RUNTIME)
	$(BIN)/python tools/screenshots.py

# The tests run in two processes of one thread each: on small models that is faster than one process of two threads.
test: lint
	$(BIN)/python tools/docs.py --check
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The table family x dialect x direction x largest difference, measured against timm and transformers.
parity: $(DEV)
	$(BIN)/python tools/parity.py

# What each rule catches, misses and wrongly refuses; writes docs/verdict-power.md, fails if ours does any of it.
verdict-power: $(DEV)
	$(BIN)/python tools/verdict_power.py

# The published values of the real weights, wherever weights and picture can be had.
golden: $(DEV)
	@$(BIN)/python tools/golden.py || test $$? -eq 3 # 3: nothing could be compared, and it says so

# snellen beside timm, transformers, torch.compile and ONNX Runtime, in an environment of its own: docs/benchmarks.md.
# Nothing else should run meanwhile; it takes about half an hour.
PEERS := .venv-peers

$(PEERS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[onnx,int8,timm,transformers]'
	@touch $@

bench-peers: $(PEERS)/.installed
	$(PEERS)/bin/python tools/bench_peers.py

# Photographs of 12 million pixels beside timm with a DataLoader: docs/benchmarks-photos.md. About four minutes.
bench-photos: $(DEV)
	$(BIN)/python tools/bench_photos.py

# What a store promises, at full length (an hour): killed in 50 rounds over 2,000 images, memory for 20,000, a million rows.
soak: $(DEV)
	@mkdir -p $(SOAK_OUT)
	$(BIN)/python tools/soak.py -o $(SOAK_OUT)/soak.json
	$(BIN)/python tools/flat_memory.py -o $(SOAK_OUT)/flat_memory.json
	$(BIN)/python tools/large_store.py -o $(SOAK_OUT)/large_store.json

# Rewrite what is generated: docs/models.md, docs/commands.md, docs/messages.md, docs/outcomes.md and more.
docs: $(DEV)
	$(BIN)/python tools/docs.py

clean:
	rm -rf $(VENV) $(PEERS) build dist out src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
