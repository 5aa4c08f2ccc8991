# Three commands do everything, on a machine with Python 3.11-3.13, git and make:
#     make demo     build .venv from the lock files, decompose a committed SAE on a real model: three minutes
#     make repro    build .venv from the lock files, run every stage that is not up to date, say what came out
#                  and whether it is what HEAD has
#     make test     build .venv, run the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --require-hashes --no-deps --no-compile --disable-pip-version-check
SHALLOW := [ "$$(git rev-parse --is-shallow-repository)" = true ]
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help demo repro plots experiments test lint bench faults mutants gpu-check conformance clean-units lock release

help: ## what can be made
	@echo 'make demo         build .venv from the lock files, decompose a committed SAE on a real model: three minutes'
	@echo 'make repro        build .venv from the lock files, run what is not up to date, compare with HEAD'
	@echo 'make test         build .venv, run the tests'
	@echo 'make lint         style, types, and whether the committed reports are those of this code'
	@echo 'make plots        the page of plots of DVC'
	@echo 'make experiments  each run of dvc exp run, with what it changed and what came out'
	@echo 'make bench        how fast the heaviest computations are'
	@echo 'make faults       files, kills, hubs and machines that fail: what becomes of each'
	@echo 'make mutants      bugs planted in the code, one by one: does a test catch each'
	@echo 'make gpu-check    one published SAE on Gemma 2 2B, on a machine with a GPU'
	@echo 'make conformance  what other packages answer where FVU is known exactly: docs/known-answers.md'
	@echo 'make clean-units  forget stored units: the next run computes every SAE again'
	@echo 'make release      dist/: what an archive such as Zenodo needs of this version'
	@echo 'make lock         write the lock files again (needs uv)'

demo: $(VENV)/installed
	@python -m darkmatter.cli demo

repro: $(VENV)/installed
	python -m darkmatter.cli repro
	@python -m darkmatter.cli summary
	@# Exit code 1 is an answer: an outcome changed, or HEAD has no run of this profile.
	@python -m darkmatter.cli compare || [ $$? = 1 ]

# DVC's own page of plots, which loads nothing from outside: the views of dvc.yaml and every figure.
plots: $(VENV)/installed
	python -m darkmatter.report.plots_page
	dvc plots show "FVU by width" "Maps over width and L0" reports/$$(sed -n 's/^profile: //p' params.yaml)/figures/*.svg

# The parameters that differ between runs, and the numbers of the widest SAE.
experiments: $(VENV)/installed
	dvc exp show --no-pager --only-changed --drop 'Created|.*/.*' --keep 'widest_sae\.(fvu|vector_r2)|asymptote$$'

test: $(VENV)/installed
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed
	ruff check .
	ruff format --check .
	mypy
	dvc repro --dry --allow-missing > $(VENV)/dry.log 2>&1 || { cat $(VENV)/dry.log; exit 1; }
	@if grep "Running stage" $(VENV)/dry.log; then echo "reports/ is stale: run make repro and commit"; exit 1; fi
	@# DVC passes over a stage whose input was made again, where the data are not here. Exit code 7 is for what is missing:
	@# in a shallow clone these are the earlier commits, in any other a result or a receipt.
	python -m darkmatter.cli audit verify --committed || { [ $$? = 7 ] && $(SHALLOW); }

# What is faster than what, and by how much: reports/bench.json and docs/benchmarks.md, in a quarter of an hour. The
# model, activations, SAEs and codes must be here: `dvc repro codes` makes them.
bench: $(VENV)/installed
	python -m tests.benches

# Faults injected one by one: reports/reliability.json and docs/faults.md, in half an hour. Needs no data.
faults: $(VENV)/installed
	python -m tests.faults

# Bugs planted one by one, each before the tests that import its module: a section of reports/reliability.json and of
# docs/faults.md, in three quarters of an hour. Goes on where it was stopped; what did not change since is not planted again.
mutants: $(VENV)/installed
	python -m tests.mutants

# One published SAE on Gemma 2 2B, for a machine with a GPU and HF_TOKEN: docs/paper-scale.md. Writes gpu-check.json.
gpu-check: $(VENV)/installed
	python -m darkmatter.cli gpu-check

conformance: $(VENV)/installed
	python tests/conformance/conform.py

clean-units: ## forget stored units: the next run computes every SAE again
	rm -rf data/.units

# Refuses what is not committed, not verified or not a version; the same commit gives the same bytes.
release: $(VENV)/installed
	python -m darkmatter.audit.export.release

lock: ## needs uv
	$(PYTHON) requirements/lock.py

# Half of an installation is compiling: pip does it on one core, compileall on all. Syntax of a later Python is no error.
# torch comes as a small CPU build where one is offered (PIP_FIND_LINKS, or PyTorch's own index), else from PyPI.
$(VENV)/installed: requirements/base.lock requirements/build.lock requirements/torch-cpu.lock requirements/torch-pypi.lock
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -r requirements/build.lock
	$(PIP_INSTALL) --no-build-isolation -r requirements/base.lock
	{ $(PIP_INSTALL) -r requirements/torch-cpu.lock && $(BIN)/python -c 'import torch'; } 2> $(VENV)/torch-cpu.log \
		|| $(PIP_INSTALL) -r requirements/torch-pypi.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check -e .
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
	touch $@
