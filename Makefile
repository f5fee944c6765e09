# make book   environment, the mini edition through papermill, the book; prints where to open it
# make test   environment and tests
PYTHON ?= python3
JOBS ?= 2
EDITION ?= mini
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: book test lint benchmarks clean

book: $(READY)
	@$(BIN)/bertstudy run --edition $(EDITION) --jobs $(JOBS)
	@test $(EDITION) != mini || $(BIN)/bertstudy verify --edition $(EDITION)
	@$(BIN)/bertstudy build --edition $(EDITION)

test: $(READY)
	@$(BIN)/python -m pytest $(PYTEST)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@find notebooks -name '*.ipynb' -exec $(BIN)/nbstripout --verify --keep-id {} +

benchmarks: $(READY)
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

# Everything generated but the environment, which takes longest to make again.
clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis bertstudy.egg-info

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bertstudy needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	    exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
