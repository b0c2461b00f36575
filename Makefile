# One door for developers: make demo | test | faults | campaigns | tensorflow | wheel | gate | fuzz | stacks | matrix | timing
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
.PHONY: demo test lint types unit faults campaigns fuzz tensorflow tensorflow-campaigns stacks matrix wheel gate timing clean

# torch first and pinned: a plain "pip install torch" fetches gigabytes of CUDA packages on a machine without a GPU.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,examples]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/gputune profile examples/image_folder.py

test: lint types unit

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy cannot follow an editable install whose folders are renamed, so it gets a tree of links.
types: $(VENV)/installed .types/gputune
	cd .types && ../$(BIN)/mypy --config-file ../pyproject.toml

.types/gputune: $(wildcard tuner/*)
	rm -rf .types; mkdir -p .types/gputune
	cd .types/gputune && ln -sfn ../../tuner/* . && ln -sfn ../../probes probes
	touch -h .types/gputune

unit: $(VENV)/installed
	$(BIN)/pytest -m "not heavy and not tensorflow"

# python -m, so that spawned children of the tests find the test modules. What takes minutes: doors, gates, ranks, and
# every fault survived, by every library that writes files; ends with the table of faults.
$(VENV)/faults: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[faults]'
	touch $@

faults: $(VENV)/faults
	$(BIN)/python -m pytest -m "heavy and not tensorflow and not campaign"

# Whole campaigns, several a test: resuming, moved checkpoints, rehearsed patches, ranks, notebooks (a quarter of an hour).
campaigns: $(VENV)/faults
	$(BIN)/python -m pytest -m "campaign and not tensorflow"

# A million hostile inputs (make test feeds a few thousand); the coverage-guided ones where atheris installs.
fuzz: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/fuzz/million.py
	$(BIN)/python tests/fuzz/coverage_guided.py

# Our own gate: an example that must not starve, and one that does against its committed baseline (on other hardware only
# the share of the ceiling is compared). What a busy machine leaves undecided passes.
gate: $(VENV)/installed
	$(BIN)/gputune check --quiet --inconclusive pass --require 'starvation < 10%' examples/healthy.py
	$(BIN)/gputune check --quiet --inconclusive pass --baseline remote_storage --require 'max_regression = 10%' \
		examples/remote_storage.py

# The tests that compare measured times, twenty times in a row.
timing: $(VENV)/installed
	for i in $$(seq 20); do $(BIN)/pytest -q -m timing || exit 1; done

# What ships is what is tested: build the wheel, install it regularly elsewhere, profile an example with it.
wheel: $(VENV)/installed
	rm -rf build dist && $(BIN)/python -m build --quiet --no-isolation --wheel
	$(PYTHON) -m venv --clear --system-site-packages build/venv
	echo "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')" > \
		"$$(build/venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/dependencies.pth"
	build/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl
	cd build && venv/bin/gputune profile --no-search --quiet --json - ../examples/healthy.py > run.json
	cd build && venv/bin/gputune report "$$(ls -d results/*/ | tail -n 1)" > /dev/null

# TensorFlow in an environment of its own: it is large.
TF := .venv-tensorflow
$(TF)/installed: pyproject.toml constraints.txt tests/tf/requirements.txt
	$(PYTHON) -m venv $(TF)
	$(TF)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(TF)/bin/pip install --quiet --disable-pip-version-check -r tests/tf/requirements.txt
	$(TF)/bin/pip install --quiet --disable-pip-version-check -e . hypothesis
	touch $@

tensorflow: $(TF)/installed
	$(TF)/bin/python -m pytest -m "tensorflow and not heavy" tests/tf

# Whole campaigns on Keras and tf.data scripts.
tensorflow-campaigns: $(TF)/installed
	$(TF)/bin/python -m pytest -m "tensorflow and heavy" tests/tf

# Every framework with its real library, in an environment of its own (2.5 GB; over 20 minutes on 2 busy cores).
STACKS := .venv-stacks
$(STACKS)/installed: pyproject.toml constraints.txt tests/stacks/requirements.txt
	$(PYTHON) -m venv $(STACKS)
	$(STACKS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(STACKS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -r tests/stacks/requirements.txt
	$(STACKS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

stacks: $(STACKS)/installed
	$(STACKS)/bin/python -m pytest -m stacks tests/stacks --write-matrix

# Other versions of torch and Python, as far as they can be had here; prints which could not.
matrix:
	$(PYTHON) tests/matrix/versions.py

clean:
	rm -rf .types .cache .mypy_cache .pytest_cache .ruff_cache build *.egg-info
