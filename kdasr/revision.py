"""Which kdasr this is."""

from __future__ import annotations

import subprocess
from pathlib import Path


def revision() -> str:
    """The git revision of this kdasr, with -dirty if tracked files have been changed since, or "unknown"."""
    command = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return "unknown"
    return answer.stdout.strip() or "unknown"
