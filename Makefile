PYTHON ?= python3
BIN := .venv/bin
FACE := experiment=demo_face
SPREAD := inpaint_random,gaussian_blur,motion_blur
DPS := sampler=dps sampler.schedule.scales=25
BRAIN := experiment=demo_brain operator=mri_4x,mri_8x

.PHONY: help demo demo-faces demo-brains bench reproduce-small test test-all lint docs clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# The first command makes .venv; touch of a mark says which extras it has.
.venv/demo.installed .venv/test.installed .venv/docs.installed: .venv/%.installed: pyproject.toml constraints.txt
	@echo 'installing into .venv, which takes some minutes'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

# Faces and brains side by side, each on one thread: small images leave a second one idle.
demo: .venv/demo.installed  ## restore a face and brain slices in six tasks, 5 minutes, outputs/demo/
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs=2 demo-faces demo-brains
	$(BIN)/alps table runs=outputs/demo/restore output=outputs/demo

demo-faces:
	$(BIN)/alps restore -m $(FACE) operator=$(SPREAD),inpaint_box sampler=alps,alps_teacher,map,daps
	$(BIN)/alps restore -m $(FACE) operator=$(SPREAD) $(DPS) sampler.step_size=10
	$(BIN)/alps restore -m $(FACE) operator=inpaint_box $(DPS) sampler.step_size=3

demo-brains:
	$(BIN)/alps restore -m $(BRAIN) sampler=alps,alps_teacher,map,daps
	$(BIN)/alps restore -m $(BRAIN) $(DPS) sampler.step_size=3

# About 40 minutes of an idle machine; says what became slower than the baseline by more than 15 %.
bench: .venv/demo.installed  ## what the package costs beyond its networks, 40 minutes
	$(BIN)/alps bench baseline=experiments/bench/baseline.json

reproduce-small: .venv/demo.installed  ## five minutes: numbers of ours, again, by models and images that come with the package
	OMP_NUM_THREADS=2 $(BIN)/alps reproduce -m rows=closed_form,mri

test: .venv/test.installed  ## the tests that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 -m 'not slow'

test-all: .venv/test.installed  ## the slow tests too, every snippet of the documentation among them
	$(BIN)/python -m pytest

lint: .venv/test.installed  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs.installed  ## the documentation as a website, site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

clean:  ## remove .venv, outputs and site
	rm -rf .venv outputs site
