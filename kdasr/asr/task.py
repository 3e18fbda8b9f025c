"""ESPnet's tasks with distillation inputs: `kd_conf` in the config, hypotheses among the data."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from kdasr.asr import audio_type
from kdasr.asr.model import KDModel, distilling
from kdasr.asr.settings import INPUTS, TEACHERS_INPUT, Distillation, read_settings
from kdasr.asr.views import TwoViews
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.networks.load import register
from kdasr.networks.middle import middle_layers
from kdasr.processor import has_bf16
from kdasr.prune.mask import hold
from kdasr.search.engine import speller

ESPnetASRModel = name("espnet2.asr.espnet_model:ESPnetASRModel")
str2bool = name("espnet2.utils.types:str2bool")
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
        parser.add_argument("--cpu_bf16", type=str2bool, default=False, help="bfloat16 in training on a CPU.")

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
        if (settings.targets or settings.own_loss) and normalizes_length(model):
            raise UserError(
                "model_conf: length_normalized_loss: hypotheses and distributions are learnt by a loss that sums over "
                "tokens; remove it"
            )
        if settings.mask:
            hold(model, settings.mask)
        for weight in ("inter_weight", "cr_weight"):
            if getattr(settings, weight) and not model.ctc_weight:
                raise UserError(f"kd_conf: {weight}: is of a CTC branch, and this model has none; leave it out")
        if settings.inter_weight:
            model.middle = middle_layers(model, settings.inter_layers)
        if settings.cr_weight:
            see_two_views(model, settings)
        if settings.risk_weight:
            if model.decoder is None:
                raise UserError("kd_conf: risk_weight: a model of CTC alone has no hypotheses of its own; leave it out")
            model.spell = speller(args.output_dir or "", args, model.token_list)
        if args.cpu_bf16 and not args.ngpu and isinstance(model, cls.student):
            model.cpu_bf16 = has_bf16()
            if not model.cpu_bf16:
                logging.warning("cpu_bf16: this processor has no bfloat16 arithmetic; training goes on in float32")
        return model


def see_two_views(model: Any, settings: Distillation) -> None:
    """Let a model's SpecAugment mask two views apart."""
    if model.specaug is None:
        logging.warning("cr_weight: the configuration has no specaug: two views differ by dropout alone")
    else:
        model.specaug = TwoViews(model.specaug, settings.cr_time_masks)


def normalizes_length(model: Any) -> bool:
    """Whether ESPnet's loss of a model's decoder is a mean over tokens."""
    return bool(getattr(getattr(model, "criterion_att", None), "normalize_length", False))


class KDTask(DistillingTask, ASRTask):  # type: ignore[misc]
    """ASRTask that trains `KDModel`."""

    stock, stock_model, choice, student = ASRTask, ESPnetASRModel, "espnet", KDModel
