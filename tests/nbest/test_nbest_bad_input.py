"""Bad input to `kdasr nbest`: one sentence that names it, nothing half-written, and the rest is kept."""

from __future__ import annotations

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from nbest_models import LENGTHS, files, models, nbest, write_data, write_model, write_place

from kdasr.cli import main
from kdasr.files import read_json, write_table
from kdasr.models import find_models
from kdasr.nbest import archive
from kdasr.nbest.write import make_shard
from kdasr.search import engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_place(tmp_path_factory.mktemp("place"))


def sentence(capsys):
    """What was said on standard error: one line."""
    said = capsys.readouterr().err
    assert said.startswith("kdasr nbest: ") and said.count("\n") == 1, said
    return said


def finish(tmp_path, model, features):
    """The files of an archive of these features by this model."""
    (tmp_path / "right").mkdir()
    (tmp_path / "right" / "model").symlink_to(model)
    write_data(tmp_path / "right" / "data", features)
    assert nbest(tmp_path / "right", tmp_path / "right" / "out", "--shard_size", 1) == 0
    return files(tmp_path / "right" / "out")


def damaged(place, tmp_path, features):
    (tmp_path / "model").symlink_to(place[0] / "model")
    write_data(tmp_path / "data", features)
    status = nbest(tmp_path, tmp_path / "out", "--shard_size", 1)
    assert not (tmp_path / "out" / "summary.json").exists()
    return status


def test_nan_features_are_named_and_the_rest_is_kept(place, tmp_path, capsys):
    features = [x.clone() for x in place[2][:3]]
    features[1][3, 2] = float("nan")
    assert damaged(place, tmp_path, features) == 1
    assert "utt1: " in (said := capsys.readouterr().err)
    assert "not numbers" in said
    assert archive.shard_path(tmp_path / "out", 0).exists()
    assert not archive.shard_path(tmp_path / "out", 1).exists()


def test_features_of_another_size_are_named(place, tmp_path, capsys):
    assert damaged(place, tmp_path, [torch.zeros(20, 7)]) == 1
    assert "utt0: features of shape (20, 7), the model takes 8 bins" in capsys.readouterr().err


def test_missing_features_and_loadedare_named(place, tmp_path, capsys):
    (tmp_path / "model").symlink_to(place[0] / "model")
    (tmp_path / "data").mkdir()
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert "feats.scp: no such file; the model in" in capsys.readouterr().err
    write_table(tmp_path / "data" / "feats.scp", {"utt0": str(tmp_path / "gone.ark:5")})
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert "utt0: " in capsys.readouterr().err
    assert main(["nbest", "--model", str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "is no trained model" in capsys.readouterr().err


def test_token_directory_of_another_model_is_refused(place, tmp_path, capsys):
    write_model(tmp_path / "model")
    (tmp_path / "model" / "tokens").mkdir()
    (tmp_path / "model" / "tokens" / "tokens.txt").write_text("<blank>\n<unk>\nx\n<sos/eos>\n")
    write_data(tmp_path / "data", place[2][:1])
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert "is not the token list of" in capsys.readouterr().err


def test_an_empty_utterance_and_one_of_a_single_frame_are_kept(place, tmp_path):
    """Nothing to decode is no error: the record says so, and the others are what they are without it."""
    (tmp_path / "model").symlink_to(place[0] / "model")
    features = [place[2][0], torch.zeros(0, 8), torch.zeros(1, 8), place[2][2]]
    write_data(tmp_path / "data", features)
    for options in ((), ("--shard_size", 1)):
        out = tmp_path / f"out{len(options)}"
        assert nbest(tmp_path, out, *options) == 0
        first, empty, single, last = archive.read_nbest(out)
        assert empty["hyps"] == [{"tokens": [], "text": "", "score": 0.0, "scores": {}, "ended": "too short"}]
        assert (empty["frames"], empty["stop"], single["frames"]) == (0, "too short", 1)
        assert len(single["hyps"]) >= 1
        assert first["hyps"][0]["tokens"] and last["hyps"][0]["tokens"]
        assert read_json(out / "summary.json")["utterances"] == 4


def test_nan_is_mended_and_the_rest_not_made_again(place, tmp_path, capsys):
    features = [x.clone() for x in place[2][:4]]
    features[2][0, 0] = float("inf")
    assert damaged(place, tmp_path, features) == 1
    assert "utt2: " in sentence(capsys)
    kept = [archive.shard_path(tmp_path / "out", shard).stat().st_mtime_ns for shard in (0, 1)]
    assert not list((tmp_path / "out").glob(".*.tmp"))
    write_data(tmp_path / "data", place[2][:4])
    assert nbest(tmp_path, tmp_path / "out", "--shard_size", 1) == 0
    assert kept == [archive.shard_path(tmp_path / "out", shard).stat().st_mtime_ns for shard in (0, 1)]
    assert files(tmp_path / "out") == finish(tmp_path, place[0] / "model", place[2][:4])


@pytest.mark.parametrize("cut", [1, 20, 36, 44, 47, 48])
def test_an_ark_that_is_cut_is_named_by_utterance(place, tmp_path, capsys, cut):
    """In the last utterance (47 bytes: kaldiio speaks of its key then), within numbers or header."""
    (tmp_path / "model").symlink_to(place[0] / "model")
    write_data(tmp_path / "data", place[2][:4])
    ark = tmp_path / "data" / "feats.ark"
    whole = ark.read_bytes()
    ark.write_bytes(whole[:-cut])
    assert nbest(tmp_path, tmp_path / "out", "--shard_size", 1) == 1
    assert "utt3: " in (said := sentence(capsys)) and "cannot be read" in said
    assert archive.missing_shards(tmp_path / "out", 4) == [3]
    ark.write_bytes(whole)
    assert nbest(tmp_path, tmp_path / "out", "--shard_size", 1) == 0


def test_audio_in_place_of_features_is_named(place, tmp_path, capsys):
    (tmp_path / "model").symlink_to(place[0] / "model")
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "one.wav", np.zeros(800, dtype=np.int16), 8000, subtype="PCM_16")
    write_table(tmp_path / "data" / "feats.scp", {"utt0": str(tmp_path / "one.wav")})
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert "one.wav is audio where features are taken" in sentence(capsys)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("utt0 x.ark:5\nutt1\n", "feats.scp:2: expected 'KEY VALUE', found 'utt1'"),
        ("utt0 x.ark:5\nutt0 x.ark:9\n", "feats.scp:2: utt0 is here a second time"),
        ("", "feats.scp: is empty"),
    ],
)
def test_a_table_that_is_none_is_named_by_line(place, tmp_path, capsys, table, said):
    (tmp_path / "model").symlink_to(place[0] / "model")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "feats.scp").write_text(table)
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert said in sentence(capsys)
    assert not (tmp_path / "out").exists()


def test_another_shape_of_features_is_named(place, tmp_path, capsys):
    (tmp_path / "model").symlink_to(place[0] / "model")
    (tmp_path / "data").mkdir()
    vectors = {"utt0": np.zeros(8, dtype=np.float32)}
    kaldiio.save_ark(str(tmp_path / "data" / "feats.ark"), vectors, scp=str(tmp_path / "data" / "feats.scp"))
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert "has the shape (8,), not (frames, bins)" in (said := sentence(capsys)) and "utt0: " in said


def spoil(change):
    """A model directory whose weights or config are changed."""

    def spoilt(directory):
        write_model(directory)
        path = directory / "valid.acc.ave.pth"
        weights = torch.load(path, weights_only=True)
        change(weights)
        torch.save(weights, path)

    return spoilt


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights.pop("ctc.ctc_lo.bias"), "valid.acc.ave.pth: lacks ctc.ctc_lo.bias (and 0 more)"),
        (lambda weights: weights.update(more=torch.zeros(1)), "valid.acc.ave.pth: has unknown more (and 0 more)"),
        (
            lambda weights: weights.update({"ctc.ctc_lo.bias": torch.zeros(5)}),
            "valid.acc.ave.pth: has another shape of ctc.ctc_lo.bias",
        ),
    ],
)
def test_a_checkpoint_of_other_weights_is_named(place, tmp_path, capsys, change, said):
    spoil(change)(tmp_path / "model")
    write_data(tmp_path / "data", place[2][:2])
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert said in sentence(capsys)
    assert not list((tmp_path / "out").glob("nbest.*"))


def test_a_token_list_that_does_not_fit_the_weights_is_named(place, tmp_path, capsys):
    write_model(tmp_path / "model")
    path = tmp_path / "model" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, "token_list": config["token_list"][:5] + config["token_list"][6:]}))
    write_data(tmp_path / "data", place[2][:2])
    assert nbest(tmp_path, tmp_path / "out") == 1
    said = sentence(capsys)
    assert "has another shape of " in said and "does not belong to this config.yaml" in said


def test_a_network_that_gives_no_numbers_is_named(place, tmp_path, capsys):
    spoil(lambda weights: weights["encoder.project.weight"].fill_(float("nan")))(tmp_path / "model")
    write_data(tmp_path / "data", place[2][:2])
    assert nbest(tmp_path, tmp_path / "out") == 1
    assert "gives values that are not numbers" in sentence(capsys)
    assert not list((tmp_path / "out").glob("nbest.*"))


def test_an_archive_of_another_model_data_or_options_is_left_alone(place, tmp_path, capsys):
    out = tmp_path / "out"
    assert nbest(place[0], out) == 0
    before = files(out)
    spoil(lambda weights: weights["ctc.ctc_lo.bias"].add_(1))(tmp_path / "model")
    (tmp_path / "data").symlink_to(place[0] / "data")
    assert nbest(tmp_path, out) == 1
    assert "made with other settings (model was" in sentence(capsys)
    for options in (("--beam", 2), ("--penalty", 0.5), ("--ctc_weight", 0.5), ("--nbest", 3)):
        assert nbest(place[0], out, *options) == 1
        assert "made with other settings (search was" in sentence(capsys)
    assert nbest(place[0], out, "--shard_size", 3) == 1
    assert "shard_size was 2, now 3" in sentence(capsys)
    (tmp_path / "less").mkdir()
    (tmp_path / "less" / "model").symlink_to(place[0] / "model")
    write_data(tmp_path / "less" / "data", place[2][:6])
    assert nbest(tmp_path / "less", out) == 1
    assert "made with other settings (keys was" in sentence(capsys)
    assert files(out) == before


def test_a_shard_that_was_cut_before_the_end_is_named_and_made_again(place, tmp_path, capsys):
    out = tmp_path / "out"
    assert nbest(place[0], out) == 0
    before = files(out)
    (out / "summary.json").unlink()  # as a run leaves it that is killed before its last check
    path = archive.shard_path(out, 1)
    path.write_bytes(path.read_bytes()[:-9])
    assert nbest(place[0], out) == 1
    assert "nbest.1.jsonl:2: 1 whole records, expected 2; remove the file and run kdasr nbest again" in sentence(capsys)
    assert not (out / "summary.json").exists()
    path.unlink()
    assert nbest(place[0], out) == 0
    assert files(out) == before


class Limited:
    """A scorer that runs out of memory when the grid has more than so many rows."""

    def __init__(self, scorer, rows):
        self.scorer, self.rows, self.failed = scorer, rows, 0

    def __getattr__(self, name):
        return getattr(self.scorer, name)

    def step(self, tokens, state, memory):
        if tokens.numel() > self.rows:  # (B, K)
            self.failed += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.scorer.step(tokens, state, memory)


def limited(monkeypatch, rows):
    """Every engine's decoder runs out of memory beyond so many rows; the scorers that do, as they are made."""
    made = []
    make = engine.Engine.__init__

    def init(self, *args, **kwargs):
        make(self, *args, **kwargs)
        made.append(Limited(self.scorers.full[0].scorer, rows))
        self.scorers.full[0] = self.scorers.full[0]._replace(scorer=made[-1])

    monkeypatch.setattr(engine.Engine, "__init__", init)
    engine.loaded.cache_clear()
    return made


@pytest.fixture
def alike(place, tmp_path):
    """Seven utterances of similar length, which sit in one grid."""
    (tmp_path / "model").symlink_to(place[0] / "model")
    write_data(tmp_path / "data", models.features([30, 29, 28, 30, 27, 29, 30]))
    yield tmp_path
    engine.loaded.cache_clear()


@pytest.mark.parametrize("most", [1, 2, 3, 6])
def test_out_of_memory_halves_the_batch_and_changes_nothing(alike, monkeypatch, most):
    assert nbest(alike, alike / "right", "--shard_size", 9) == 0
    made = limited(monkeypatch, rows=5 * most)
    assert nbest(alike, alike / "out", "--shard_size", 9) == 0
    assert made[0].failed >= 1  # or nothing was tested
    for one, other in zip(archive.read_nbest(alike / "out"), archive.read_nbest(alike / "right"), strict=True):
        assert [hyp["text"] for hyp in one["hyps"]] == [hyp["text"] for hyp in other["hyps"]]
        assert [h["score"] for h in one["hyps"]] == pytest.approx([h["score"] for h in other["hyps"]], abs=1e-4)


def test_out_of_memory_for_one_utterance_names_it(alike, monkeypatch, capsys):
    limited(monkeypatch, rows=4)
    assert nbest(alike, alike / "out") == 1
    said = sentence(capsys)
    assert "utt0: 30 frames do not fit into memory with beam 5; give a smaller --beam, or cut the utterance" in said
    assert not list((alike / "out").glob("nbest.*")) and not list((alike / "out").glob(".*.tmp"))
    assert nbest(alike, alike / "out", "--beam", 4) == 0  # as it says


def test_an_error_that_is_not_of_memory_is_not_hidden(alike, monkeypatch):
    made = limited(monkeypatch, rows=0)
    monkeypatch.setattr(Limited, "step", lambda self, *args: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        nbest(alike, alike / "out")
    assert len(made) == 1


def test_the_bar_advances_with_each_utterance(place, tmp_path):
    """Not shard by shard: the hours add up to those of the shard, told while it is decoded."""
    root = place[0]
    loaded = find_models([str(root / "model")], None, None, None)
    rows = read_rows(root / "data", loaded.first)
    decoder = engine.Engine(loaded, SearchOptions(), Computing(2000))
    told = []

    def progress(hours):
        told.append((hours, archive.shard_path(tmp_path, 0).exists()))

    hours = make_shard(str(tmp_path), lambda: decoder, 0, rows, progress)
    assert [there for _, there in told] == [False] * len(LENGTHS)
    assert sorted(one for one, _ in told) == pytest.approx(sorted(length / 360000 for length in LENGTHS))
    assert hours == pytest.approx(sum(LENGTHS) / 360000)
