"""Students that see two views of each utterance: what is masked, the loss by hand, the training."""

import argparse
import logging

import pytest
import torch
from espnet2.asr.specaug.specaug import SpecAug
from tiny_training import CONFIG, batch_of, build, train, write_place

from kdasr import torch_files
from kdasr.asr import model as of_model
from kdasr.asr.settings import Distillation
from kdasr.asr.task import KDTask
from kdasr.asr.views import TwoViews, twice
from kdasr.errors import UserError
from kdasr.losses.consistency import consistency_loss

MASKS = {"freq_mask_width_range": [0, 3], "time_mask_width_range": [2, 5], "num_time_mask": 2}


def test_two_views_are_masked_apart_and_again_alike_with_the_same_seed():
    views = TwoViews(SpecAug(apply_time_warp=False, **MASKS), 1.0)
    x = twice(torch.ones(3, 40, 8))
    lengths = torch.full((6,), 40)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(views(x.clone(), lengths)[0])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    rows = [row.flatten() for row in drawn[0]]
    assert all(not torch.equal(rows[b], rows[b + 3]) for b in range(3))


def test_the_warp_is_one_for_both_views():
    views = TwoViews(SpecAug(apply_time_warp=True, apply_freq_mask=False, apply_time_mask=False), 1.0)
    generator = torch.Generator().manual_seed(1)
    for lengths in ([30, 30, 30], [30, 24, 20]):  # of one length ESPnet warps a batch at once, else each by itself
        x = torch.randn(3, 30, 8, generator=generator)
        found, counts = views(twice(x), twice(torch.tensor(lengths)))
        assert torch.equal(found[:3], found[3:]) and not torch.equal(found[:3], x)
        assert counts.tolist() == lengths * 2


@pytest.mark.parametrize(("more", "masks"), [(1.0, 2), (2.5, 5), (0.5, 1), (1.3, 3)])
def test_time_masks_are_as_many_times_as_asked_and_frequency_masks_as_before(more, masks):
    specaug = SpecAug(apply_time_warp=False, **MASKS)
    TwoViews(specaug, more)
    assert specaug.time_mask.num_mask == masks and specaug.freq_mask.num_mask == 2


def test_without_time_masks_there_are_none_to_take_more_of():
    specaug = SpecAug(apply_time_warp=False, apply_time_mask=False)
    TwoViews(specaug, 1.0)
    with pytest.raises(UserError, match="cr_time_masks: specaug_conf has no time masks"):
        TwoViews(specaug, 2.5)


def test_the_loss_is_that_of_both_views_and_their_consistency(monkeypatch):
    """Each view by itself is a batch without a second one; nothing else is random."""
    model = build(kd_conf={"cr_weight": 0.3}, specaug="specaug", specaug_conf=CONFIG["specaug_conf"])
    batch, seen = batch_of(3), {}
    plain = of_model.encode

    def encode(*given):
        seen["encoded"] = plain(*given)
        return seen["encoded"]

    class Kept(torch.nn.Module):
        def forward(self, x, lengths):
            seen["x"] = TwoViews(SpecAug(**CONFIG["specaug_conf"]), 1.0)(x, lengths)[0]
            return seen["x"].clone(), lengths

    monkeypatch.setattr(of_model, "encode", encode)
    model.specaug = Kept()
    loss, stats, weight = model(**{key: value.clone() for key, value in batch.items()})
    encoded, frames = seen["encoded"]
    views = consistency_loss(model.ctc.ctc_lo(encoded), frames).item()
    assert weight == 3 and views > 0 and stats["loss_views"].item() == pytest.approx(views, rel=1e-5)
    model.specaug, model.kd, alone = None, Distillation(), []
    for view in seen["x"].split(3):
        alone.append(model(**{**batch, "speech": view.clone()}))
    expected = sum(one[0].item() for one in alone) / 2 + model.ctc_weight * 0.3 * views
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    ctc = sum(one[1]["loss_ctc"].item() for one in alone) / 2 + 0.3 * views
    assert stats["loss_ctc"].item() == pytest.approx(ctc, rel=1e-5)


def test_in_validation_there_is_one_view():
    model = build(kd_conf={"cr_weight": 0.3}).eval()
    batch = batch_of(2)
    loss, stats, _ = model(**{key: value.clone() for key, value in batch.items()})
    model.kd = Distillation()
    assert torch.equal(loss, model(**batch)[0]) and "loss_views" not in stats


def test_a_model_without_ctc_is_refused_and_one_without_masks_is_told(caplog):
    def built(**changes):
        args = vars(KDTask.get_parser().parse_args([])) | CONFIG | {"token_list": [*"_?ab", "<sos/eos>"]}
        args |= {"input_size": 8, "normalize": None, "kd_conf": {"cr_weight": 0.2}} | changes
        return KDTask.build_model(argparse.Namespace(**args))

    with pytest.raises(UserError, match="cr_weight: is of a CTC branch, and this model has none"):
        built(model_conf={"ctc_weight": 0.0})
    with caplog.at_level(logging.WARNING):
        assert isinstance(built().specaug, TwoViews) and "two views" not in caplog.text
        assert built(specaug=None).specaug is None
    assert "two views differ by dropout alone" in caplog.text


CR = ("--kd", "cr_weight=0.2", "cr_time_masks=2.5")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, and a student of two views on hypotheses and on references."""
    root = write_place(tmp_path_factory.mktemp("place"), max_epoch=3, num_iters_per_epoch=4)
    assert train(root, root / "whole", *CR) == 0
    return root


def weights(directory):
    return torch.load(directory / "valid.acc.ave.pth", map_location="cpu", weights_only=True)


def test_killed_and_run_again_it_gives_the_same_weights_and_says_how_far_views_are_apart(place, monkeypatch):
    told = torch_files.load(place / "whole/checkpoint.pth")["reporter"]["stats"]
    assert all(told[epoch]["train"]["loss_views"] > 0 for epoch in (1, 2, 3))
    assert "loss_views" not in told[1]["valid"]
    plain, calls = TwoViews.forward, []

    def killed(self, *given):
        calls.append(self)
        if len(calls) == 7:  # the third update of epoch 2
            raise KeyboardInterrupt
        return plain(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(TwoViews, "forward", killed)
        assert train(place, place / "killed", *CR) != 0
    assert (place / "killed/checkpoint.pth").is_file() and not (place / "killed/kdasr.json").exists()
    assert train(place, place / "killed", *CR) == 0
    whole, again = weights(place / "whole"), weights(place / "killed")
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_references_are_learnt_in_two_views_too(place):
    from kdasr.cli import main

    given = ["--config", place / "c.yaml", "--train", place / "train", "--valid", place / "valid"]
    given += ["--tokens", place / "char", "--out", place / "refs", "--role", "student", *CR]
    assert main(["train", *map(str, given)]) == 0
    told = torch_files.load(place / "refs/checkpoint.pth")["reporter"]["stats"]
    assert told[3]["train"]["loss_views"] > 0
