"""Training that is cut, accumulated, distributed or in mixed precision is the same training."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from tiny_training import batch_of, build, epoch, rows, train, write_place
from training_driver import KILLS

from kdasr.asr.resume import repair
from kdasr.asr.worker import whole
from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.networks.load import load_model

DRIVER = Path(__file__).with_name("training_driver.py")


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """What the driver left: trainings that were killed, and two processes' weights."""
    root = tmp_path_factory.mktemp("driven")
    answer = subprocess.run([sys.executable, DRIVER, root], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return root


def weights(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.kill
def test_killed_and_run_again_gives_the_weights_of_an_uninterrupted_run(driven):
    kills = json.loads((driven / "kills.json").read_text())
    assert [kill["moment"] for kill in kills] == list(KILLS)
    average = weights(driven / "whole/valid.acc.ave.pth")
    begun = build().state_dict()
    assert any(not torch.equal(average[name], begun[name]) for name in begun)
    links = {path.name: path.readlink() for path in (driven / "whole").glob("*.pth") if path.is_symlink()}
    for kill in kills:
        assert kill["killed"] and kill["again"] == 0, kill
        out = Path(kill["out"])
        assert_equal(weights(out / "valid.acc.ave.pth"), average)
        assert_equal(weights(out / "3epoch.pth"), weights(driven / "whole/3epoch.pth"))
        assert {path.name: path.readlink() for path in out.glob("*.pth") if path.is_symlink()} == links, kill
        assert read_json(out / "kdasr.json")["updates"] == 15
    left = {kill["moment"]: kill["left"] for kill in kills}
    assert left["after epoch 1's checkpoint, before its weights"] == ["checkpoint.pth"]
    assert left["in epoch 2"][:2] == ["1epoch.pth", "checkpoint.pth"]


def test_accumulated_gradients_are_those_of_one_batch():
    batch = batch_of(6)
    together, apart = build(), build()
    before = {name: one.clone() for name, one in together.state_dict().items()}
    epoch(together, [batch])
    epoch(apart, [rows(batch, 0, 3), rows(batch, 3, 6)], accum_grad=2)
    for name, one in together.state_dict().items():
        torch.testing.assert_close(apart.state_dict()[name], one, rtol=1e-5, atol=1e-6, msg=name)
    moved = [name for name, one in together.named_parameters() if not torch.equal(one, before[name])]
    assert len(moved) == len(list(together.named_parameters()))


@pytest.mark.kill  # the same driver runs it
@pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="torch without gloo"
)
def test_two_processes_move_the_weights_as_one_does(driven):
    single, *ranks = [weights(driven / f"{name}.pth") for name in ("single", "rank0", "rank1")]
    assert_equal(*ranks)
    for name, one in single.items():
        torch.testing.assert_close(ranks[0][name], one, rtol=1e-5, atol=1e-6, msg=name)
    mask, begun = weights(driven / "mask.pth"), dict(build().named_parameters())
    for name, one in begun.items():
        kept = mask.get(name, torch.ones_like(one, dtype=torch.bool))
        assert torch.count_nonzero(ranks[0][name][~kept]) == 0, name
        assert not torch.equal(ranks[0][name][kept], one[kept]), name


def test_mixed_precision_is_that_of_float32_within_its_digits():
    batch, model = batch_of(6), build()
    exact, _, _ = model(**batch)
    exact.backward()
    expected = {name: one.grad.clone() for name, one in model.named_parameters()}
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, stats, _ = model(**batch)
    loss.backward()
    assert loss.dtype == torch.float32 and torch.isfinite(loss).all()
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)
    assert all(torch.isfinite(value).all() for value in stats.values() if value is not None)
    for name, one in model.named_parameters():
        assert one.grad.dtype == torch.float32 and torch.isfinite(one.grad).all(), name
        error = (one.grad - expected[name]).norm()
        assert error <= 0.1 * expected[name].norm() + 1e-3, name


def test_use_amp_without_a_gpu_is_float32(tmp_path):
    """ESPnet's autocast is CUDA's: on a CPU it is off, and so is its scaler."""
    if torch.cuda.is_available():
        pytest.skip("a GPU is there, whose autocast ESPnet uses")
    write_place(tmp_path, max_epoch=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert train(tmp_path, tmp_path / "amp", "--", "--use_amp", "true") == 0
    assert train(tmp_path, tmp_path / "plain") == 0
    amp, plain = (load_model(tmp_path / name)[0].state_dict() for name in ("amp", "plain"))
    assert_equal(amp, plain)


BEST = [["valid", "acc", "max"], ["valid", "loss", "min"], ["train", "loss", "min"], ["valid", "cer", "min"]]


def begun(out, epochs, killed_before):
    """What ESPnet's trainer has written in epochs of these accuracies and losses, but for the last of its files."""
    from espnet2.train.reporter import Reporter

    reporter = Reporter()
    out.mkdir()
    (out / "config.yaml").write_text(yaml.safe_dump({"best_model_criterion": BEST}))
    for number, (accuracy, loss) in enumerate(epochs, 1):
        reporter.set_epoch(number)
        for phase in ("train", "valid"):
            with reporter.observe(phase) as observed:
                observed.register({"acc": torch.tensor(accuracy), "loss": torch.tensor(loss)})
                observed.next()
        model = {"w": torch.full((2,), float(number))}
        torch.save({"model": model, "reporter": reporter.state_dict()}, out / "checkpoint.pth")
        if number < len(epochs) or killed_before == "links":
            torch.save(model, out / f"{number}epoch.pth")
        if number < len(epochs):
            for link in ("latest.pth", "valid.acc.best.pth"):
                (out / link).unlink(missing_ok=True)
                (out / link).symlink_to(f"{number}epoch.pth")
    return out


@pytest.mark.parametrize("killed_before", ["weights", "links"])
@pytest.mark.parametrize(
    ("epochs", "best"),
    [
        ([(0.5, 3.0)], {"acc": 1, "loss": 1}),
        ([(0.5, 3.0), (0.7, 2.0), (0.6, 1.0)], {"acc": 2, "loss": 3}),
        ([(0.9, 1.0), (0.7, 2.0)], {"acc": 1, "loss": 1}),
        ([(0.5, 3.0), (0.5, 4.0), (0.8, 3.5)], {"acc": 3, "loss": 1}),
    ],
)
def test_what_a_kill_left_is_mended(tmp_path, epochs, best, killed_before):
    out = begun(tmp_path / "m", epochs, killed_before)
    last = len(epochs)
    if killed_before == "links":  # what is there is left
        torch.save({"w": torch.full((2,), 77.0)}, out / f"{last}epoch.pth")
    repair(out)
    written = 77.0 if killed_before == "links" else float(last)
    assert weights(out / f"{last}epoch.pth")["w"].tolist() == [written] * 2
    links = {path.name: str(path.readlink()) for path in out.iterdir() if path.is_symlink()}
    assert links == {
        "latest.pth": f"{last}epoch.pth",
        "valid.acc.best.pth": f"{best['acc']}epoch.pth",
        "valid.loss.best.pth": f"{best['loss']}epoch.pth",
        "train.loss.best.pth": f"{best['loss']}epoch.pth",
    }
    there = {path.name: path.lstat().st_mtime_ns for path in out.glob("*epoch.pth")}
    repair(out)  # nothing is left to do
    assert {path.name: path.lstat().st_mtime_ns for path in out.glob("*epoch.pth")} == there


def test_what_no_training_wrote_is_not_mended(tmp_path):
    repair(tmp_path)
    assert not list(tmp_path.iterdir())
    torch.save({"model": {}}, tmp_path / "checkpoint.pth")
    (tmp_path / "config.yaml").write_text("a: 1\n")
    with pytest.raises(UserError, match=r"checkpoint\.pth or config\.yaml is not of an ESPnet training"):
        repair(tmp_path)
    whole(torch.save)({"model": {}}, tmp_path / "checkpoint.pth")
    torch.save({"model": {"w": torch.ones(1)}}, tmp_path / "checkpoint.pth")
    with pytest.raises(UserError, match=r"checkpoint\.pth: was changed after it was written"):
        repair(tmp_path)
