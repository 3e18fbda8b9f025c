"""Commands run from a test, and the programs of egs/mnist/local."""

import argparse
import importlib
import sys
from pathlib import Path

from kdasr.cli import module_of, run_program

MNIST = Path(__file__).resolve().parents[1] / "egs/mnist"
sys.path.insert(0, str(MNIST / "local"))


def parse(command, *words):
    """The module of a command, and its options as it reads them."""
    module = module_of(command)
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module, parser.parse_args([str(word) for word in words])


def run(command, *words):
    """Run a command; errors are raised, not turned into an exit status as `kdasr.cli.main` does."""
    module, args = parse(command, *words)
    module.run(args)


def mnist(words):
    """Run local/images_NAME.py, where NAME is the first word, as `kdasr.cli.main` runs a command; its exit status."""
    return run_program(importlib.import_module(f"images_{words[0]}"), words[1:])
