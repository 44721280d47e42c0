PYTHON ?= python3
BIN := .venv/bin
FACE := experiment=demo_face
SPREAD := inpaint_random,gaussian_blur,motion_blur
DPS := sampler=dps sampler.schedule.scales=25
BRAIN := experiment=demo_brain operator=mri_4x,mri_8x

.PHONY: demo demo-faces demo-brains bench test test-all lint clean

# The first command makes .venv; touch of a mark says which extras it has.
.venv/demo.installed .venv/test.installed: .venv/%.installed: pyproject.toml constraints.txt
	@echo 'installing into .venv, which takes some minutes'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

# Faces and brains side by side, each on one thread: small images leave a second one idle.
demo: .venv/demo.installed
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
bench: .venv/demo.installed
	$(BIN)/alps bench baseline=experiments/bench/baseline.json

test: .venv/test.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 -m 'not slow'

test-all: .venv/test.installed
	$(BIN)/python -m pytest

lint: .venv/test.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv outputs
