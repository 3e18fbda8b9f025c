"""ESPnet's ASR task with distillation inputs: `kd_conf` in the config, hypotheses among the data."""

from __future__ import annotations

import argparse

from kdasr.asr import audio_type
from kdasr.asr.model import distilling
from kdasr.asr.settings import INPUTS, TEACHERS_INPUT, Distillation, read_settings
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.networks.load import register
from kdasr.prune.mask import hold

ESPnetASRModel = name("espnet2.asr.espnet_model:ESPnetASRModel")
NestedDictAction = name("espnet2.utils.nested_dict_action:NestedDictAction")

audio_type.register()


class KDTask(register()):  # type: ignore[misc]
    """ASRTask that trains `KDModel`. Its config.yaml is a stock one plus `kd_conf`, which stock ESPnet ignores."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """ESPnet's own options, and `--kd_conf` (kdasr.asr.settings)."""
        super().add_task_arguments(parser)
        parser.add_argument("--kd_conf", action=NestedDictAction, default={}, help="Distillation settings.")

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """ESPnet's optional inputs, and distillation's."""
        return (*super().optional_data_names(train, inference), *INPUTS, TEACHERS_INPUT)

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> ESPnetASRModel:
        """The stock model that the config names, which learns as its kd_conf says."""
        settings = read_settings(args.kd_conf)
        model = super().build_model(args)
        if type(model) is ESPnetASRModel:
            model = distilling(model, settings)
        elif settings != Distillation(targets=settings.targets, teacher=settings.teacher, mask=settings.mask):
            raise UserError(f"kd_conf: a {type(model).__name__} cannot be distilled so; use `model: espnet`")
        if settings.mask:
            hold(model, settings.mask)
        return model
