"""Models that kdasr cannot use are refused in one sentence, before anything is loaded; the others pass."""

from __future__ import annotations

import importlib.util

import pytest
import yaml

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.model_kinds import refuse_others
from kdasr.models import attends, read_config

TOKENS = ["<blank>", "<unk>", "a", "<sos/eos>"]
ASR = {"input_size": None, "frontend": "default", "encoder": "conformer", "decoder": "transformer", "model": "espnet"}

FUSED = {"frontend": "fused", "frontend_conf": {"frontends": [{"frontend_type": one} for one in ("default", "s3prl")]}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preprocessor": "s2t_ctc"}, "is an OWSM-CTC model, which kdasr cannot use; name an attention or CTC model"),
        ({"model": "espnet_ctc", "model_conf": {"sym_na": "<na>"}}, "is an OWSM-CTC model"),
        ({"preprocessor": "s2t", "input_size": 80}, "is an S2T model of features (they have no fixed length)"),
        ({"model_conf": {"sym_na": "<na>"}, "decoder": "rnn"}, "is an S2T model with decoder rnn, which kdasr cannot"),
        ({"decoder": "transducer"}, "is a transducer, which kdasr cannot use; name an attention or CTC model"),
        ({"joint_network_conf": {}}, "is a transducer, which kdasr cannot use"),
        ({"model": "maskctc"}, "is a mask-CTC model, which kdasr cannot use"),
        ({"decoder": "mlm"}, "is a mask-CTC model"),
        ({"model": "pit_espnet"}, "is a model of several speakers"),
        ({"decoder": "linear_decoder"}, "is a classifier"),
        ({"model": "discrete_asr", "frontend": "embed", "src_token_list": TOKENS}, "is a recogniser of discrete units"),
        ({"src_token_list": TOKENS}, "is a model that translates speech, or patches of text, which kdasr cannot use"),
        ({"src_token_list": TOKENS, "frontend": "patch"}, "is a model that translates speech"),
        ({"frontend": "s3prl"}, "its frontend s3prl needs s3prl, which is not installed; pip install s3prl, or name"),
        ({"encoder": "whisper"}, "its encoder whisper needs whisper, which is not installed; pip install openai-whisp"),
        ({"decoder": "whisper"}, "its decoder whisper needs whisper"),
        ({"frontend": "whisper"}, "its frontend whisper needs whisper"),
        ({"frontend": "huggingface"}, "its frontend huggingface needs transformers"),
        ({"encoder": "wav2vec2"}, "its encoder wav2vec2 needs fairseq"),
        ({"encoder": "hubert"}, "its encoder hubert needs fairseq"),
        ({"postencoder": "hugging_face_transformers"}, "its postencoder hugging_face_transformers needs transformers"),
        (FUSED, "its frontend s3prl needs s3prl"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_used_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys, changes, said):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.yaml").write_text(yaml.safe_dump({**ASR, "token_list": TOKENS, **changes}))
    with pytest.raises(UserError) as caught:
        read_config(tmp_path / "m")
    assert str(caught.value).startswith(f"{tmp_path}/m/config.yaml: {said}")
    for command in ("nbest", "decode"):
        words = ["--model", f"{tmp_path}/m", "--data", f"{tmp_path}/d", "--out", f"{tmp_path}/o"]
        assert main([command, *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert main(["tokens", "--model", f"{tmp_path}/m", "--out", f"{tmp_path}/t"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preprocessor": "default", "model_conf": {"ctc_weight": 0.3}},
        {"frontend": "s3prl", "input_size": 80},  # its front end is not built
        {"joint_net_conf": None},
        {"frontend": "fused", "frontend_conf": {"frontends": [{"frontend_type": "default"}]}},
        {"frontend_conf": [], "model_conf": None, "encoder": 5},
    ],
)
def test_other_models_pass(monkeypatch, changes):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refuse_others({**ASR, **changes}, "config.yaml")


def test_a_package_that_is_installed_is_no_reason(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: {"s3prl": "there"}.get(name))
    refuse_others({**ASR, "frontend": "s3prl"}, "config.yaml")
    with pytest.raises(UserError, match="needs whisper"):
        refuse_others({**ASR, "encoder": "whisper"}, "config.yaml")


@pytest.mark.parametrize(
    ("changes", "has"),
    [
        ({}, True),
        ({"model_conf": {"ctc_weight": 1.0}}, False),
        ({"model_conf": {"ctc_weight": 1}}, False),
        ({"model_conf": {"ctc_weight": 0.3}}, True),
        ({"model_conf": None}, True),
        ({"decoder": None}, False),
    ],
)
def test_which_models_have_an_attention_decoder(tmp_path, changes, has):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**ASR, "token_list": TOKENS, **changes}))
    assert attends(tmp_path) == has


def test_a_package_that_only_building_misses_is_named(monkeypatch):
    import argparse

    from kdasr.networks.load import build

    class Task:
        @staticmethod
        def build_model(args):
            import warprnnt_pytorch_that_is_not_there  # noqa: F401

    with pytest.raises(UserError, match=r"^x: this model needs warprnnt_pytorch_that_is_not_there, which is not inst"):
        build(Task, argparse.Namespace(), "x")
