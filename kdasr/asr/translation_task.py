"""ESPnet's MT task with distillation inputs: that of kdasr.asr.task, with text in place of speech."""

from __future__ import annotations

import argparse
from typing import Any

from kdasr.asr.task import DistillingTask
from kdasr.asr.translator import ESPnetMTModel, KDTranslator
from kdasr.networks.load import register_mt

MTTask = register_mt()


class KDTranslationTask(DistillingTask, MTTask):  # type: ignore[misc]
    """MTTask that trains `KDTranslator`."""

    stock, stock_model, choice, student = MTTask, ESPnetMTModel, "mt", KDTranslator

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> Any:
        """As every task's; the model knows what it reads, so that teachers beside it can be compared."""
        model = super().build_model(args)
        model.src_token_list = tuple(args.src_token_list)
        return model
