# `make demo` and `make test` need make and Python 3.10 or later, nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-classification test test-openmmlab test-detection test-examples test-page \
	lint docs docs-linkcheck benchmark clean distclean

VENV := .venv
OPENMMLAB := .venv-openmmlab
EXAMPLES := .venv-examples
DOCS := .venv-docs
RUN := $(VENV)/bin/python

# $(call search,candidates,condition): the first of the candidates that runs and fulfils it.
search = $(shell for p in $(1); do \
	"$$p" -c 'import sys; sys.exit(not ($(2)))' 2>/dev/null && echo "$$p" && break; done)

# Another interpreter: make test PYTHON=/path/to/python
PYTHON ?= $(call search,python3 python3.13 python3.12 python3.11 python3.10,sys.version_info >= (3, 10))
# Sphinx and transformers want a later one.
PYTHON_RECENT ?= $(call search,python3 python3.13 python3.12 python3.11,sys.version_info >= (3, 11))
# OpenMMLab's last releases have wheels for Python 3.11 at most.
PYTHON311 ?= $(call search,python3.11 python3,sys.version_info[:2] == (3, 11))

# $(call new_venv,folder,python,what is needed,variable): an environment to install into. One
# whose installation was interrupted is not believed: it is made anew.
define new_venv
	@test -n "$(2)" || \
		{ echo "make: no $(3) found on PATH; name one with $(4)=/path/to/python" >&2; exit 1; }
	@if [ -e $(1).unfinished ]; then rm -rf $(1); fi
	@touch $(1).unfinished
	@echo "Installing into $(1): a few minutes the first time."
	@$(2) -m venv $(1)
endef

# $(call finish,folder): the package itself, editable, then the mark that all is there.
define finish
	@$(1)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(1)/.installed && rm $(1).unfinished
endef

$(VENV)/.installed: requirements/lock.txt setup.py
	$(call new_venv,$(VENV),$(PYTHON),Python 3.10 or later,PYTHON)
	@$(RUN) -m pip install --requirement requirements/lock.txt
	$(call finish,$(VENV))

# mmcv 2.1.0 has no wheel: it compiles for 6 to 10 minutes, against the torch installed before it.
$(OPENMMLAB)/.installed: requirements/openmmlab-lock.txt setup.py
	$(call new_venv,$(OPENMMLAB),$(PYTHON311),Python 3.11,PYTHON311)
	@$(OPENMMLAB)/bin/python -m pip install --requirement requirements/openmmlab-lock.txt
	@echo "Compiling mmcv: 6 to 10 minutes on 2 cores, unless pip has kept the wheel."
	@$(OPENMMLAB)/bin/python -m pip install --no-build-isolation --no-deps mmcv==2.1.0
	$(call finish,$(OPENMMLAB))

$(OPENMMLAB)/.detection: requirements/detection-lock.txt $(OPENMMLAB)/.installed
	@$(OPENMMLAB)/bin/python -m pip install --no-deps --requirement requirements/detection-lock.txt
	@touch $@

$(EXAMPLES)/.installed: requirements/examples-lock.txt setup.py
	$(call new_venv,$(EXAMPLES),$(PYTHON_RECENT),Python 3.11 or later,PYTHON_RECENT)
	@$(EXAMPLES)/bin/python -m pip install --requirement requirements/examples-lock.txt
	$(call finish,$(EXAMPLES))

$(DOCS)/.installed: requirements/docs-lock.txt requirements/lock.txt setup.py
	$(call new_venv,$(DOCS),$(PYTHON_RECENT),Python 3.11 or later,PYTHON_RECENT)
	@$(DOCS)/bin/python -m pip install --requirement requirements/docs-lock.txt
	$(call finish,$(DOCS))

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 30

demo: $(VENV)/.installed  ## Train with cross entropy and with RecallLoss, and compare
	@$(RUN) tools/demo.py

demo-classification: $(VENV)/.installed  ## Train on long-tailed digits with three methods, and compare
	@$(RUN) tools/demo_classification.py

test: $(VENV)/.installed  ## Run the tests
	@OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses 2 --dist worksteal

test-page: $(VENV)/.installed  ## Test the comparison page in the Chromium or Chrome that is there
	@$(RUN) -m pip install --quiet --no-build-isolation --editable '.[browser]'
	@$(RUN) -m pytest tests/test_visualization/test_page_in_browser.py

test-openmmlab: $(OPENMMLAB)/.installed  ## Run the tests with OpenMMLab's own last releases
	@OMP_NUM_THREADS=1 $(OPENMMLAB)/bin/python -m pytest --numprocesses 2 --dist worksteal

test-detection: $(OPENMMLAB)/.detection  ## Run the tests of detection, with OpenMMLab's own last releases
	@OMP_NUM_THREADS=1 $(OPENMMLAB)/bin/python -m pytest tests/test_detection

# tests/conftest.py imports MMEngine, which this environment must not have.
test-examples: $(EXAMPLES)/.installed  ## Run the examples for other frameworks, without any mm* package
	@OMP_NUM_THREADS=1 $(EXAMPLES)/bin/python -m pytest --noconftest tests/test_examples.py

lint: $(VENV)/.installed  ## Check style and types
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy

docs: $(DOCS)/.installed  ## Build the site into build/site; a broken link inside it is an error
	@$(DOCS)/bin/python -m sphinx -W --keep-going -q -c docs . build/site
	@echo "Open build/site/index.html"

docs-linkcheck: $(DOCS)/.installed  ## Ask every other site that the pages link to (needs the internet)
	@$(DOCS)/bin/python -m sphinx -W --keep-going -q -b linkcheck -c docs . build/linkcheck

benchmark: $(VENV)/.installed  ## Run every script of tools/benchmarks, into work_dirs/benchmarks
	@for script in tools/benchmarks/[a-z]*.py; do \
		echo "$$script" && \
		$(RUN) "$$script" --output "work_dirs/benchmarks/$$(basename "$$script" .py).json" || exit 1; \
	done

clean:  ## Remove caches and build leftovers
	@rm -rf build dist docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean  ## Remove the environments too
	@for venv in $(VENV) $(OPENMMLAB) $(EXAMPLES) $(DOCS); do rm -rf $$venv $$venv.unfinished; done
