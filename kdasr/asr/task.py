"""ESPnet's tasks with distillation inputs: `kd_conf` in the config, hypotheses among the data."""

from __future__ import annotations

import argparse
from typing import Any

from kdasr.asr import audio_type
from kdasr.asr.model import KDModel, distilling
from kdasr.asr.settings import INPUTS, TEACHERS_INPUT, Distillation, read_settings
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.networks.load import register
from kdasr.prune.mask import hold

ESPnetASRModel = name("espnet2.asr.espnet_model:ESPnetASRModel")
NestedDictAction = name("espnet2.utils.nested_dict_action:NestedDictAction")

ASRTask = register()
audio_type.register()


class DistillingTask:
    """What a task of ESPnet's needs to train students: a mixin, before the task's class.

    The config.yaml of its models is a stock one plus `kd_conf`, which stock ESPnet ignores.
    """

    stock: Any  # ESPnet's task, which knows nothing of distillation
    stock_model: type  # the model that can be distilled: what its build_model gives for `model: {choice}`
    choice: str
    student: type  # what that model becomes (kdasr.asr.model.distilling)

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ESPnet's own options, and `--kd_conf` (kdasr.asr.settings)."""
        super().add_task_arguments(parser)  # type: ignore[misc]
        parser.add_argument("--kd_conf", action=NestedDictAction, default={}, help="Distillation settings.")

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """ESPnet's optional inputs, and distillation's."""
        return (*super().optional_data_names(train, inference), *INPUTS, TEACHERS_INPUT)  # type: ignore[misc]

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> Any:
        """The stock model that the config names, which learns as its kd_conf says."""
        settings = read_settings(args.kd_conf)
        model = super().build_model(args)  # type: ignore[misc]
        if type(model) is cls.stock_model:
            model = distilling(model, cls.student, settings)
        elif settings != Distillation(targets=settings.targets, teacher=settings.teacher, mask=settings.mask):
            raise UserError(f"kd_conf: a {type(model).__name__} cannot be distilled so; use `model: {cls.choice}`")
        if settings.mask:
            hold(model, settings.mask)
        return model


class KDTask(DistillingTask, ASRTask):  # type: ignore[misc]
    """ASRTask that trains `KDModel`."""

    stock, stock_model, choice, student = ASRTask, ESPnetASRModel, "espnet", KDModel
