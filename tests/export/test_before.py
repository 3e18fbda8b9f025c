"""Front ends and normalisations that no graph is made of are named."""

import types

import pytest
import torch
from search_models import build

from kdasr.errors import UserError
from kdasr.export.before import Normalised, Waveform, before_encoder
from kdasr.networks.load import register

WAVES = {"input_size": None, "frontend": "default", "frontend_conf": {"fs": 16000, "n_mels": 20}}


def model_of(**changes):
    return build("kdasr", changes=WAVES | changes)


@pytest.mark.parametrize("means, variances", [(True, True), (True, False), (False, True), (False, False)])
def test_normalisation_of_an_utterance_as_espnets(means, variances):
    register()
    model = model_of(normalize="utterance_mvn", normalize_conf={"norm_means": means, "norm_vars": variances})
    x = torch.randn(30, 20) * 3 + 5
    x[:, 4] = 2.0  # no variance at all
    right = model.normalize(x[None].clone(), torch.tensor([30]))[0][0]
    torch.testing.assert_close(Normalised(model.normalize)(x), right, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("conf", [
    {"n_fft": 400, "win_length": 300, "hop_length": 100}, {"fmin": 100, "fmax": 4000},
    {"center": False, "normalized": True}, {"window": "hamming"}, {"window": None},
])  # fmt: skip
def test_the_front_end_as_espnets(conf):
    model = model_of(frontend_conf={"fs": 16000, "n_mels": 20} | conf)
    samples = torch.randn(5000) * 0.1
    right = model.frontend(samples[None], torch.tensor([5000]))[0][0]
    torch.testing.assert_close(Waveform(model.frontend)(samples), right, rtol=1e-4, atol=2e-3)


def test_what_has_no_graph_is_named():
    several = types.SimpleNamespace(use_wpe=True, use_beamformer=False)
    cases = (
        ("frontend.frontend", several, "enhances speech of several channels"),
        ("frontend.stft.onesided", False, "an STFT of both sides"),
        ("normalize", torch.nn.Identity(), "its normalisation Identity cannot be exported"),
        ("postencoder", torch.nn.Identity(), "its postencoder Identity cannot be exported"),
    )
    for path, value, said in cases:
        model = model_of()
        *parents, last = path.split(".")
        target = model
        for parent in parents:
            target = getattr(target, parent)
        if isinstance(value, types.SimpleNamespace):
            target._modules.pop(last, None)
            object.__setattr__(target, last, value)
        else:
            setattr(target, last, value)
        with pytest.raises(UserError, match=said):
            before_encoder(model)
