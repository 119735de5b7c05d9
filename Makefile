# Everything runs in .venv, made by the uv in .uv; a fresh machine needs only Python >= 3.11 and make.
PYTHON ?= python3
SECONDS ?= 0
JOBS ?= 0
UV := .uv/bin/uv
RUN := $(UV) run --frozen --no-sync
READY := .venv/.ready

.PHONY: demo test check services bench fuzz docs clean

demo: $(READY) ## a real database, the gateway and a small fleet; SECONDS=20 stops by itself
	@$(RUN) dubhe demo --seconds $(SECONDS)

test: $(READY) ## the whole suite; what needs a missing service is skipped by name
	$(RUN) pytest --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder

check: $(READY) ## style, types, import contracts, generated docs
	$(RUN) ruff check . && $(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) python docs/generate.py --check

docs: $(READY) ## print again what the docs take from the code
	$(RUN) python docs/generate.py

bench: $(READY) ## the project's own benchmark, JSON out
	$(RUN) dubhe bench

fuzz: $(READY) ## more random bytes than the suite has time for
	$(RUN) pytest tests/fuzz --hypothesis-profile=long

services: ## Debian, root: Mosquitto, Chromium and a real TimescaleDB on loopback
	deploy/services.sh

clean: ## what the targets above made, services excepted
	rm -rf .venv .uv .demo

$(UV):
	$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.8"

$(READY): pyproject.toml uv.lock | $(UV)
	$(UV) sync --frozen --quiet --group dev --python $(PYTHON)
	@touch $(READY)
