"""A student's own hypotheses judged by hand; trainings that learn from them, killed and resumed; what is refused."""

import argparse
import math

import pytest
import torch
from tiny_training import CONFIG, TOKENS, build, train, write_place

from kdasr import torch_files
from kdasr.asr import own_beam, task
from kdasr.asr.own_beam import OwnBeam, costs_of
from kdasr.asr.settings import Distillation
from kdasr.asr.task import KDTask
from kdasr.errors import UserError

SAID = [["a b c", "a x c d", ""], ["", "a"], ["a b"]]
WANTED = ["a b c d", "", "a b"]


def test_word_errors_by_hand():
    assert costs_of("words", WANTED, SAID) == [[1.0, 1.0, 4.0], [0.0, 1.0], [0.0]]


def test_bleu_by_hand():
    """a b of a b c d: all its words and pairs are right, and it is half as long: exp(1 - 4 / 2)."""
    [[half, right, nothing]] = costs_of("bleu", ["a b c d"], [["a b", "a b c d", ""]])
    assert half == pytest.approx(1 - math.exp(-1)) and right == pytest.approx(0.0, abs=1e-12) and nothing == 1.0


def spell(ids):
    return " ".join("_?abcd"[number] for number in ids)


@pytest.fixture
def fake(monkeypatch):
    """An OwnBeam whose search says what it is told, and the inputs that it was asked for."""

    class Search:
        def __init__(self, model, options, spell):
            self.options, self.asked = options, []

        def nbest(self, inputs):
            self.asked = inputs
            lists = [[[2, 3], [2], []], [[4]]]
            return [{"hyps": [{"tokens": ids, "text": spell(ids)} for ids in one]} for one in lists]

    monkeypatch.setattr(own_beam, "InMemory", Search)
    return lambda **kd: OwnBeam(None, Distillation(risk_weight=1.0, **kd), spell)


def test_a_batch_is_judged_by_what_weighs_most(fake):
    beam = fake(risk_beam=7, risk_maxlenratio=2.0)
    asked = beam.search.options
    assert (asked.beam, asked.nbest, asked.ctc_weight, asked.maxlenratio) == (7, 7, 0.0, 2.0)
    targets = torch.tensor([[[5, 5, 5], [2, 4, -1]], [[4, -1, -1], [3, 3, 3]]])  # d d d or a c; c or b b b
    inputs = torch.arange(8.0).view(2, 4)
    judged = beam.judged(inputs, torch.tensor([4, 3]), targets, torch.tensor([[0.4, 0.6], [0.5, 0.5]]))
    assert [x.tolist() for x in beam.search.asked] == [[0, 1, 2, 3], [4, 5, 6]]
    assert judged.targets.tolist() == [[[2, 3], [2, -1], [-1, -1]], [[4, -1], [-1, -1], [-1, -1]]]
    assert judged.used.tolist() == [[True, True, True], [True, False, False]]
    assert judged.costs.tolist() == [[1.0, 1.0, 2.0], [0.0, 0.0, 0.0]]  # a b, a, nothing for a c; c for c


def test_a_model_of_ctc_alone_is_refused():
    args = vars(KDTask.get_parser().parse_args([])) | CONFIG | {"token_list": TOKENS, "input_size": 8}
    args |= {"model_conf": {"ctc_weight": 1.0}, "kd_conf": {"risk_weight": 0.5}, "normalize": None}
    with pytest.raises(UserError, match="risk_weight: a model of CTC alone has no hypotheses of its own"):
        KDTask.build_model(argparse.Namespace(**args))


def words_of(ids):
    """Each letter a word: texts of one word each would be wrong all alike."""
    return " ".join(TOKENS[number] for number in ids)


RISK = ("--kd", "risk_weight=0.9", "risk_beam=3", "risk_maxlenratio=0.6")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, a model to start from, and one that went on from there by its own hypotheses, whose letters are words."""
    root = write_place(tmp_path_factory.mktemp("place"), max_epoch=2, num_iters_per_epoch=3)
    assert train(root, root / "first") == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "speller", lambda *given: words_of)
        assert train(root, root / "whole", "--init", root / "first", *RISK) == 0
    return root


def weights(directory):
    return torch.load(directory / "valid.acc.ave.pth", map_location="cpu", weights_only=True)


def test_a_training_says_what_its_hypotheses_cost(place):
    """In every epoch of training, and not in validation, which knows references alone."""
    told = torch_files.load(place / "whole/checkpoint.pth")["reporter"]["stats"]
    assert [told[epoch]["train"]["loss_risk"] != 0 for epoch in (1, 2)] == [True, True]
    assert all(0.5 < told[epoch]["train"]["own_cost"] < 5 for epoch in (1, 2))
    assert not {"loss_risk", "own_cost"} & told[1]["valid"].keys()


def test_killed_and_run_again_it_gives_the_same_weights(place, monkeypatch):
    plain, calls = OwnBeam.judged, []

    def killed(self, *given):
        calls.append(self)
        if len(calls) == 5:  # in the second of three updates of epoch 2
            raise KeyboardInterrupt
        return plain(self, *given)

    monkeypatch.setattr(task, "speller", lambda *given: words_of)
    with monkeypatch.context() as patch:
        patch.setattr(OwnBeam, "judged", killed)
        assert train(place, place / "killed", "--init", place / "first", *RISK) != 0
    assert (place / "killed/checkpoint.pth").is_file() and not (place / "killed/kdasr.json").exists()
    assert train(place, place / "killed", "--init", place / "first", *RISK) == 0
    whole, again, first = (weights(place / name) for name in ("whole", "killed", "first"))
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert any(not torch.equal(whole[key], first[key]) for key in whole)


def test_it_lowers_what_its_hypotheses_cost():
    """Gradient steps on the risk alone lower the expectation, on the same batch and without randomness."""
    model = build(kd_conf={"risk_weight": 1.0, "risk_maxlenratio": 0.5}, token_type="char")
    model.spell = words_of
    generator = torch.Generator().manual_seed(1)
    batch = {"speech": torch.randn(4, 40, 8, generator=generator), "speech_lengths": torch.tensor([40, 40, 32, 30])}
    batch |= {"text": torch.tensor([[3, 4, 5], [5, 4, -1], [3, -1, -1], [6, 3, 3]])}
    batch |= {"text_lengths": torch.tensor([3, 2, 1, 3])}
    optimizer, costs = torch.optim.SGD(model.parameters(), lr=0.3), []
    for _ in range(12):
        loss, stats, _ = model(**{key: one.clone() for key, one in batch.items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        costs.append(float(stats["own_cost"]))
        assert float(stats["loss_risk"]) == pytest.approx(loss.item())
    assert costs[-1] <= costs[0] - 0.5, costs
