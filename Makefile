# Each target that is for people says what it does behind two number signs; `make`, or `make help`, lists them.
.PHONY: help install demo test test-rest test-all mutants nightly lint docs docs-serve hooks clean
.DEFAULT_GOAL := help
SHELL := /bin/bash
export OMP_NUM_THREADS := 1
# a test process takes up to two gigabytes
PYTEST := tools/venv/bin/python -m pytest
BESIDE := --numprocesses auto --maxprocesses 4
LONG := recipe or cluster or kill or browser
DOCS := tools/docs-venv

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "All make tools/venv when it is not there (two minutes, once). docs/testing.md has more of the tests."

install:  ## tools/venv, with everything that kdasr runs on; does nothing when it is there
	@tools/install.sh

demo: install  ## a first result: synthetic corpus, teacher, students, scores, page, a student to use (12 minutes)
	@cd egs/wsj && ./run.sh

test: install  ## every test but those that run whole recipes, a SLURM cluster, a browser, or kill: some minutes
	$(PYTEST) $(BESIDE) -m "not ($(LONG))"

test-rest: install  ## these others: about 20 minutes
	$(PYTEST) $(BESIDE) --dist loadfile -m "($(LONG)) and not cluster"  # tests of a file share what they run
	$(PYTEST) -m cluster

test-all: test test-rest  ## every test

mutants: install  ## plausible mistakes are put into the code, one at a time: do the tests notice? An hour or more
	tools/venv/bin/python tools/mutants.py

nightly: install  ## properties with thirty times as many examples, new ones each time: about an hour
	KDASR_EXAMPLES=30 $(PYTEST) $(BESIDE) -m "hypothesis and not ($(LONG))"

lint: install  ## ruff and shellcheck, as CI runs them
	tools/venv/bin/ruff check kdasr egs utils tools tests
	shellcheck -x egs/*/*.sh egs/*/local/*.sh utils/*.sh tools/*.sh .ci/run

docs: $(DOCS)/.made  ## the pages of docs/ as a site: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --quiet
	@echo "site/index.html: written"

docs-serve: $(DOCS)/.made  ## the same at http://localhost:8000, made anew when a page is saved
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs serve --strict

$(DOCS)/.made: tools/requirements-docs.txt
	python3 -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

hooks:  ## what CI would refuse is refused when you commit (needs pre-commit: pip install pre-commit)
	pre-commit install

clean:  ## remove what recipes made: data, features, models, results, the demo corpus
	rm -rf egs/*/{data,dump,exp,discs}
