# Every target sets up what it needs. CI calls these same targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help run test test-faults bench bench-quick bench-peers bench-drift bench-river soak docs docs-serve lint format wheel image audit lock clean
.DEFAULT_GOAL := help

help:            ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit(f"stream-bp needs Python 3.11, 3.12 or 3.13; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

run: $(VENV)/.ready        ## learn real streams, kill a job, resume it to the same bits
	$(BIN)/python -m stream_bp.demo

test: $(VENV)/.ready       ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-faults: $(VENV)/.ready  ## the full campaign of faults; its last lines are the table of what it showed
	$(BIN)/python -m pytest -n 2 --dist worksteal -q --faults full tests/crash tests/property

bench: $(VENV)/.ready      ## speed and memory, beside what people would use instead (ARGS: --only WORD, --json FILE)
	$(BIN)/python -m tests.benchmarks.speed $(ARGS)

bench-quick: $(VENV)/.ready  ## the same within a minute: fewer rows, one turn
	$(BIN)/python -m tests.benchmarks.speed --quick $(ARGS)

bench-peers: $(VENV)/.ready  ## install what they are compared with: PyTorch, scikit-learn, Vowpal Wabbit
	$(BIN)/python -m pip install --quiet $$($(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["bench"])')

soak: $(VENV)/.ready       ## ten minutes of a folder that is followed, with thirty kills (ARGS: --minutes, --rate, --kills)
	$(BIN)/python -m tests.benchmarks.soak $(ARGS)

bench-drift: $(VENV)/.ready  ## what the reactions to drift are worth (ARGS: --rows)
	$(BIN)/python -m tests.benchmarks.reactions $(ARGS)

bench-river: $(VENV)/.ready  ## prequential tables on River's own streams, beside River's models (ARGS: options)
	$(BIN)/python tests/benchmarks/river_streams.py $(ARGS)

docs: $(VENV)/.ready       ## build the documentation site into build/site; a broken link is an error
	$(BIN)/python -m tests.docs_site

docs-serve: $(VENV)/.ready ## show the site on 127.0.0.1:8000, and build it again when a page changes
	$(BIN)/python -m tests.docs_site serve

lint: $(VENV)/.ready       ## ruff, ruff format, mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready     ## let ruff rewrite the tree
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.ready      ## build the wheel, run the smoke tests against it, installed
	./tests/wheel.sh $(PYTHON) $(BIN)

image: $(VENV)/.ready      ## build the image with buildah, as root; run a job in it, read-only; some minutes
	$(BIN)/python -m pytest -q -m image tests/deploy

audit: $(VENV)/.ready      ## ask PyPI for known vulnerabilities of what the locks name; one line where it does not tell
	$(BIN)/python -m tests.audit requirements.lock deploy/requirements.lock

lock: $(VENV)/.ready       ## resolve the locks anew (hashes, no addresses)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras -c requirements-dev.lock pyproject.toml -o deploy/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group wheel -c requirements-dev.lock -o deploy/requirements-build.lock

clean:           ## remove the environment and what was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
