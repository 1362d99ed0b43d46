# Two commands: `make demo` runs the main job on a real system, `make test` proves it. Both install what they miss.

VENV := .venv
PYTHON := $(VENV)/bin/python
RENEC := examples/renec/renec
PYTEST_WORKERS ?= 2
SERVER_WORKERS ?= 4

# Compiled once, also where the environment forbids it: hundreds of processes start, and pytest compiles its own way.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-stop test test-unit faults lint format bench docs pictures packages clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo       start a real system, check it, break it, see it found, mend it, restore its backup
demo: packages $(VENV)/installed
	@$(PYTHON) examples/renec/demo.py

## make demo-stop  stop the demo's system and delete everything it made
demo-stop:
	@if [ -x $(PYTHON) ]; then $(PYTHON) $(RENEC) destroy; else echo "nothing is installed, so nothing runs"; fi
	@rm -rf examples/renec/ops/.opsbook
	@echo "The demo's system is stopped, and what it made is deleted."

## make test       every test, against real servers
test: packages $(VENV)/installed
	$(PYTHON) -m compileall -q src examples tests
	$(PYTHON) -m pytest tests/unit -n $(PYTEST_WORKERS) -p no:schemathesis -p no:rerunfailures
	# A busy machine may let a deadline of a real server pass: such a test is tried once more, and the run says which.
	# More workers than cores: most of these tests wait for servers.
	$(PYTHON) -m pytest tests -n $(SERVER_WORKERS) --dist loadgroup --no-loadscope-reorder --ignore tests/unit -rsR --reruns 1 --rerun-show-tracebacks

## make test-unit  the fast tests alone
test-unit: $(VENV)/installed
	$(PYTHON) -m pytest tests/unit -n $(PYTEST_WORKERS) -p no:schemathesis -p no:rerunfailures

## make faults     kill the engine at every place, and count what became of it
faults: packages $(VENV)/installed
	$(PYTHON) -m tests.faults.sweep
	OPSBOOK_THOROUGH=1 $(PYTHON) -m pytest tests/unit -n $(PYTEST_WORKERS) -p no:schemathesis -p no:rerunfailures
	OPSBOOK_THOROUGH=1 $(PYTHON) -m pytest tests/integration/test_kubernetes_migrations.py tests/integration/test_kubernetes_deploys.py \
	  tests/integration/test_store_frozen.py \
	  tests/integration/test_renec_deploys.py::test_an_update_that_is_bad_in_one_part_goes_back_as_a_whole
	OPSBOOK_FUZZ=60 $(PYTHON) -m pytest -s tests/integration/test_api_fuzz.py

## make lint       style, types and the import contract
lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

## make bench      timings as ratios to named peers
bench: packages $(VENV)/installed
	$(PYTHON) benchmarks/run.py

## make docs       write the parts of docs/ that are generated from the code
docs: $(VENV)/installed
	$(PYTHON) scripts/reference.py

## make pictures   take the terminal pictures of the README anew (the demo must run)
pictures: $(VENV)/installed
	$(PYTHON) scripts/pictures.py

format: $(VENV)/installed
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

packages:
	@sh scripts/packages.sh

$(VENV)/installed: pyproject.toml constraints.txt examples/renec/requirements.txt
	@sh scripts/install.sh $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
