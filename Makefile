# make demo   a first result: embedded corpus, teacher, N-best, students, scores, table
# make test   every test
# Both make tools/venv when it is not there (two minutes, once).
.PHONY: demo test lint install clean
SHELL := /bin/bash
export OMP_NUM_THREADS := 1

install:
	@tools/install.sh

demo: install
	cd egs/wsj && ./run.sh

test: install
	tools/venv/bin/python -m pytest

lint: install
	tools/venv/bin/ruff check kdasr utils tools tests
	shellcheck -x egs/*/*.sh egs/*/local/*.sh utils/*.sh tools/*.sh .ci/run

clean:
	rm -rf egs/*/{data,dump,exp,discs}
