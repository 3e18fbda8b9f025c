"""A training step of every loss on a pretended GPU (tests/pretend_gpu.py): the CPU's loss and gradient, few waits."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_map

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))
import search_models as models
from pretend_gpu import pretend_gpu

from kdasr.asr.model import KDModel, distilling
from kdasr.asr.settings import read_settings

LOSSES = {
    "hypotheses": {},
    "CTC on the best": {"ctc_hyps": "best"},
    "words": {"word_weight": 0.5, "temperature": 2.0},
    "words, reverse": {"word_weight": 0.5, "divergence": "reverse_kl"},
    "words, js": {"word_weight": 1.0, "divergence": "js"},
    "words, tv": {"word_weight": 0.5, "divergence": "tv"},
    "CTC frames": {"ctc_word_weight": 0.5},
    "risk": {"risk_weight": 0.5, "risk_beam": 3, "risk_maxlenratio": 0.5},
    "risk, bleu": {"risk_weight": 1.0, "risk_beam": 3, "risk_cost": "bleu", "risk_maxlenratio": -4.0},
}
CASES = [(name, "kdasr") for name in LOSSES]
CASES += [(name, kind) for kind in ("transformer", "location_lstm") for name in ("hypotheses", "words", "CTC frames")]
VOCABULARY = len(models.TOKENS)


def student(kind, kd):
    """A model that learns as `kd` says, with nothing random in it."""
    model = distilling(models.build(kind, sharp=2.0), KDModel, read_settings(kd))
    model.training = True
    model.spell = lambda ids: " ".join(map(str, ids))
    return model


def batch_of(model, utterances, kd):
    """What ESPnet's trainer gives a student of K = 2 hypotheses."""
    generator = torch.Generator().manual_seed(utterances)
    speech = torch.randn(utterances, 24, 8, generator=generator)
    lens = torch.randint(1, 5, (utterances, 2), generator=generator)  # (B, K)
    total = int(lens.sum(1).max())
    batch = {
        "speech": speech,
        "speech_lengths": torch.randint(17, 25, (utterances,), generator=generator).sort(descending=True).values,
        "text": torch.full((utterances, 1), 3),
        "text_lengths": torch.ones(utterances, dtype=torch.long),
        "kd_hyps": torch.randint(3, VOCABULARY - 1, (utterances, total), generator=generator),
        "kd_hyp_lens": lens,
        "kd_weights": torch.tensor([[0.6, 0.4]] * utterances),
    }

    def soft(rows):
        logp = torch.randn(utterances, rows, VOCABULARY, generator=generator).log_softmax(-1)
        values, ids = logp.sort(-1, descending=True)
        return torch.cat([ids.float(), values], 2)  # (B, rows, 2V)

    if kd.get("word_weight"):
        batch["kd_soft"] = soft(total + 2)
    if kd.get("ctc_word_weight"):
        with torch.no_grad():
            _, frames = model.encode(speech.clone(), batch["speech_lengths"])
        batch |= {"kd_ctc": soft(int(frames.max())), "kd_ctc_lengths": frames}
    return batch


def step(model, batch):
    """Loss, its parts, and the gradient."""
    model.zero_grad(set_to_none=True)
    loss, stats, _ = model(**batch)
    loss.backward()
    gradient = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return loss.detach(), {name: value for name, value in stats.items() if value is not None}, gradient


def waits(kind, kd, utterances):
    """A step on the CPU and on the pretended GPU; what the latter waited for, before anything is looked at."""
    model = student(kind, kd)
    batch = batch_of(model, utterances, kd)
    here = step(model, {name: value.clone() for name, value in batch.items()})
    model.own_beam = ()
    with pretend_gpu() as gpu:
        model.to("cuda")
        there = {name: value.to("cuda") for name, value in batch.items()}
        with gpu.seen() as seen:
            found = step(model, there)
        loss, *parts = (tree_map(lambda x: x.cpu(), one) for one in found)
    torch.testing.assert_close(loss, here[0], rtol=1e-5, atol=1e-6)
    for one, other, rtol in zip(parts, here[1:], (1e-4, 1e-3), strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            torch.testing.assert_close(one[name], value, rtol=rtol, atol=1e-5, msg=lambda text, n=name: f"{n} {text}")
    return seen


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_step_is_the_cpus_and_its_waits_do_not_grow_with_the_batch(name, kind):
    kd = LOSSES[name]
    few, many = (waits(kind, kd, utterances) for utterances in (1, 3))
    if "risk" in name:  # whose search looks as often as its longest hypothesis is long
        assert many.ours() <= 50, many.table()
    else:
        assert few.ours() == many.ours() <= 20, few.table() + many.table()
