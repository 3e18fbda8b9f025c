"""Modules of egs/mnist/local are imported by their names."""

import commands  # noqa: F401  puts them into the path
