# make quickstart | test | test-kernels | test-slow | test-all | faults | lint | types | gpu | lock | clean

VENV := .venv
PYTHON := $(VENV)/bin/python
CLI := $(VENV)/bin/keras-resnet
READY := $(VENV)/.ready
RUN := runs/latest
OUT := exports/digits

.PHONY: quickstart setup test test-kernels test-slow test-all faults lint types gpu lock clean

# Trains ResNet-20 on the embedded digits, exports it, and shows what the exported model says.
quickstart: $(READY)
	$(CLI) train --strategy=mirrored
	$(CLI) export --workdir=$(RUN) --output=$(OUT)
	$(CLI) evaluate $(RUN) --split=test
	$(CLI) sample-images digits --split=test --count=5 --output=exports/digits-examples
	$(CLI) predict $(OUT) exports/digits-examples/*.png --plot=exports/digits-examples/predictions.png
	@echo
	@echo "run       $(RUN)/ (curves.png, metrics.jsonl, weights/)"
	@echo "exported  $(OUT)/ (SavedModel versions for TF Serving, litert/ for phones)"
	@echo "plot      exports/digits-examples/predictions.png"
	@echo
	@echo "Next, with your own settings:"
	@echo "  . $(VENV)/bin/activate"
	@echo "  keras-resnet train --strategy=mirrored --set model.name=cifar_resnet56 --set train.seed=1"
	@echo "  keras-resnet export --workdir=$(RUN) --output=exports/my_model"
	@echo "  keras-resnet predict exports/my_model exports/digits-examples/*.png"
	@echo "  keras-resnet list"

setup: $(READY)

$(READY): requirements.txt requirements-dev.txt requirements.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh $(VENV)
	@touch $@

# Everything but what needs a GPU or a network; `make test-all` adds the slow ones and the check of types.
test: lint
	$(PYTHON) -m pytest -m "not slow and not gpu and not network"

# What depends on TensorFlow's kernels, once more with oneDNN off where it is on by default, or on where it is off.
KERNEL_TESTS := tests/test_layers.py tests/test_blocks.py tests/test_channels_first.py tests/analysis/test_intermediate_outputs.py \
	tests/analysis/test_norms.py tests/training/test_recipe_parts.py tests/training/test_steps.py \
	tests/training/test_evaluation.py tests/classification/test_protocols.py tests/weights/test_parity.py \
	tests/export/test_graph.py tests/inference/test_agreement.py
test-kernels: $(READY)
	TF_ENABLE_ONEDNN_OPTS=$$((1 - $$($(PYTHON) tools/onednn.py))) $(PYTHON) -m pytest \
		-m "not slow and not gpu and not network" $(KERNEL_TESTS)

# SLOW_MINUTES=30 skips the slow tests that would begin later.
test-slow: $(READY)
	$(PYTHON) -m pytest -m "slow and not gpu and not network"

test-all: lint types
	$(PYTHON) -m pytest -m "not gpu and not network"

# The long form of the fault tests, with the figures of docs/reliability.md: a quarter of an hour on two cores.
faults: $(READY)
	FAULTS=long $(PYTHON) -m pytest tests/faults --dist load

lint: $(READY)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types: $(READY)
	$(PYTHON) -m mypy --num-workers=2

# NVIDIA: adds the CUDA libraries that TensorFlow loads.
gpu: $(READY)
	$(PYTHON) -m pip install --quiet --constraint requirements.lock "tensorflow[and-cuda]"

# Writes requirements.lock again from requirements*.txt, for every platform and Python at once.
lock: $(READY)
	$(PYTHON) -m pip install --quiet uv
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --no-header --upgrade \
		--constraint requirements.limits requirements.txt requirements-dev.txt --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info
