"""Which of the tasks a command line of ESPnet's trainer is of: recognition, or translation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdasr.asr.task import KDTask
from kdasr.asr.translation_task import KDTranslationTask


def task_of(options: Sequence[str]) -> Any:
    """The task class: of translation if it has source tokens."""
    return KDTranslationTask if "--src_token_list" in options else KDTask
