# make demo      a first result: synthetic demo corpus, teacher, N-best, students, scores, table
# make test      every test but those that run whole recipes, a SLURM cluster, a browser, or kill: some minutes
# make test-all  every test
# make mutants   plausible mistakes are put into the code, one at a time: do the tests notice them?
# make nightly   properties with thirty times as many examples, new ones each time
# All make tools/venv when it is not there (two minutes, once). docs/testing.md has more.
.PHONY: demo test test-rest test-all mutants nightly lint install clean
SHELL := /bin/bash
export OMP_NUM_THREADS := 1
# a test process takes up to two gigabytes
PYTEST := tools/venv/bin/python -m pytest
BESIDE := --numprocesses auto --maxprocesses 4
LONG := recipe or cluster or kill or browser

install:
	@tools/install.sh

demo: install
	cd egs/wsj && ./run.sh

test: install
	$(PYTEST) $(BESIDE) -m "not ($(LONG))"

test-rest: install
	$(PYTEST) $(BESIDE) --dist loadfile -m "($(LONG)) and not cluster"  # tests of a file share what they run
	$(PYTEST) -m cluster

test-all: test test-rest

mutants: install
	tools/venv/bin/python tools/mutants.py

nightly: install
	KDASR_EXAMPLES=30 $(PYTEST) $(BESIDE) -m "hypothesis and not ($(LONG))"

lint: install
	tools/venv/bin/ruff check kdasr egs utils tools tests
	shellcheck -x egs/*/*.sh egs/*/local/*.sh utils/*.sh tools/*.sh .ci/run

clean:
	rm -rf egs/*/{data,dump,exp,discs}
