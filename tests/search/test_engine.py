"""From rows of a data directory to records: buckets, grids of the size asked for, spelling, and who is at fault."""

from __future__ import annotations

import itertools
import types

import kaldiio
import numpy as np
import pytest
import search_models as models
import soundfile
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.models import Source, find_models
from kdasr.search import engine as engines
from kdasr.search.engine import SPREAD, Engine, buckets, out_of_memory, record, speller
from kdasr.search.grid import Ended, Found
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import read_rows


@examples(100)
@given(st.lists(st.integers(0, 50), max_size=20))
def test_buckets_hold_all_by_length(lengths):
    cut = list(buckets(lengths))
    order = [number for bucket in cut for number in bucket]
    assert order == sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)) and all(cut)
    for bucket in cut:
        assert lengths[bucket[-1]] >= SPREAD * lengths[bucket[0]]
    for bucket, after in itertools.pairwise(cut):
        assert lengths[after[0]] < SPREAD * lengths[bucket[0]]


def test_buckets_at_the_edge():
    assert list(buckets([10, 8, 7, 10, 0])) == [[0, 3, 1], [2], [4]]
    assert list(buckets([])) == []


def hypothesis(tokens, score=-1.0, ended="eos"):
    return Ended(tokens, score, {"decoder": score}, ended)


def spell(ids):
    return "".join("_abcdef"[i] for i in ids)


def test_a_record_by_hand():
    hyps = [
        hypothesis([1, 0, 2], -1.2345678),
        hypothesis([0, 1, 2], -2.0),  # is the same text
        hypothesis([2], -3.0, "maxlen"),
        hypothesis([], -4.0),
        hypothesis([0], -5.0),
    ]
    got = record("u", 12, Found(hyps, "end detected", 7), spell, {1: 1, 2: 2})
    assert got == {
        "id": "u",
        "frames": 12,
        "hyps": [
            {"tokens": [1, 2], "text": "ab", "score": -1.23457, "scores": {"decoder": -1.23457}, "ended": "eos"},
            {"tokens": [2], "text": "b", "score": -3.0, "scores": {"decoder": -3.0}, "ended": "maxlen"},
            {"tokens": [], "text": "", "score": -4.0, "scores": {"decoder": -4.0}, "ended": "eos"},
        ],
        "duplicates": 2,
        "stop": "end detected",
    }


@pytest.mark.parametrize(
    ("found", "ended", "stop"), [(None, "too short", "too short"), (Found([], "maxlen", 3), "none", "maxlen")]
)
def test_a_record_of_nothing(found, ended, stop):
    hyps = [{"tokens": [], "text": "", "score": 0.0, "scores": {}, "ended": ended}]
    assert record("u", 1, found, spell, {}) == {"id": "u", "frames": 1, "hyps": hyps, "duplicates": 0, "stop": stop}


def test_what_says_that_memory_ran_out():
    for error in (
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried"),
    ):
        assert out_of_memory(error)
    assert not out_of_memory(RuntimeError("size mismatch")) and not out_of_memory(ValueError())


def source(bins=8, rate=None):
    return Source("model", "model/x.pth", (), bins, rate, ("", "", ""))


def test_rows_of_a_data_directory(tmp_path):
    for name in ("feats.scp", "wav.scp"):
        with pytest.raises(UserError, match=f"{name}: no such file; the model in model takes"):
            read_rows(tmp_path, source(rate=16000 if name == "wav.scp" else None))
    matrices = {name: np.zeros((n, 8), np.float32) for name, n in (("b", 3), ("a", 2))}
    kaldiio.save_ark(str(tmp_path / "feats.ark"), matrices, scp=str(tmp_path / "feats.scp"))
    assert [(row.name, row.seconds) for row in read_rows(tmp_path, source())] == [("b", None), ("a", None)]
    (tmp_path / "utt2dur").write_text("a 2.5\n")
    (tmp_path / "segments").write_text("")  # matter to audio alone
    assert [(row.name, row.seconds) for row in read_rows(tmp_path, source())] == [("b", None), ("a", 2.5)]
    (tmp_path / "wav.scp").write_text("a a.wav\n")
    with pytest.raises(UserError, match="segments: is empty"):
        read_rows(tmp_path, source(None, 16000))
    (tmp_path / "segments").unlink()
    assert [row.name for row in read_rows(tmp_path, source(None, 16000))] == ["a"]
    (tmp_path / "feats.scp").write_text("")
    with pytest.raises(UserError, match=r"feats.scp"):
        read_rows(tmp_path, source())


def test_spelling_without_a_token_directory(tmp_path):
    tokens = ["<blank>", "a", "<space>", "b", "<sos/eos>"]
    plain = types.SimpleNamespace(token_type=None)
    assert speller(tmp_path, plain, tokens)([1, 2, 3]) == "a <space> b"
    assert speller(tmp_path, types.SimpleNamespace(token_type="char"), tokens)([1, 2, 3]) == "a b"
    assert speller(tmp_path, types.SimpleNamespace(token_type="word"), tokens)([1, 3]) == "a b"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model and a data directory of four utterances of about 30 frames and one of 12."""
    root = tmp_path_factory.mktemp("engine")
    model = models.build("kdasr")
    (root / "model").mkdir()
    torch.save(model.state_dict(), root / "model" / "valid.acc.ave.pth")
    (root / "model" / "config.yaml").write_text(yaml.safe_dump(models.config("kdasr")))
    (root / "data").mkdir()
    matrices = {f"utt{i}": x.numpy() for i, x in enumerate(models.features([12, 30, 27, 30, 29]))}
    kaldiio.save_ark(str(root / "data" / "feats.ark"), matrices, scp=str(root / "data" / "feats.scp"))
    found = find_models([str(root / "model")], None)
    return found, read_rows(root / "data", found.first)


@pytest.mark.parametrize(
    ("batch_frames", "slots"), [(1, [1, 1]), (239, [1, 4]), (240, [2, 5]), (360, [3, 7]), (4800, [40, 100])]
)
def test_a_grid_holds_as_many_frames_as_are_allowed(place, batch_frames, slots, monkeypatch):
    """Padded input frames x beam: of 30 frames and beam 4 each utterance takes 120, of 12 frames 48."""
    found, rows = place
    asked, plain = [], engines.stream

    def watched(utterances, scorers, options, slots, **more):
        asked.append(slots)
        return plain(utterances, scorers, options, slots, **more)

    monkeypatch.setattr(engines, "stream", watched)
    engine = Engine(found, SearchOptions(beam=4), Computing(batch_frames))
    told = []
    records = list(engine.decode(rows, told.append))
    assert asked == slots
    assert [one["id"] for one in records[-1:]] == ["utt0"] and len(records) == 5
    assert {one["id"]: one["frames"] for one in records} == dict(utt0=12, utt1=30, utt2=27, utt3=30, utt4=29)
    assert sum(told) == pytest.approx(1.28 / 3600) and len(told) == 5
    names = [one["id"] for one in records]
    alone = {one["id"]: one for name in names for one in engine.decode([row for row in rows if row.name == name])}
    for one in records:
        other = alone[one["id"]]
        assert [h["tokens"] for h in one["hyps"]] == [h["tokens"] for h in other["hyps"]]
        assert [h["score"] for h in one["hyps"]] == pytest.approx([h["score"] for h in other["hyps"]], abs=1e-3)


def test_seconds_and_frames(place):
    found, rows = place
    engine = Engine(found, SearchOptions(), Computing(1000))
    assert engine.seconds(rows[0], 250) == 2.5
    assert engine.seconds(rows[0]._replace(seconds=7.0), 250) == 7.0
    assert engine.frames(np.zeros((33, 8))) == 33
    engine.source = engine.source._replace(sample_rate=8000)
    assert [engine.frames(np.zeros(n)) for n in (0, 79, 80, 8000)] == [0, 0, 1, 100]


def test_a_language_model_of_weight_zero_is_not_loaded(place, tmp_path):
    found, _ = place
    lm = models.build_lm("gru")
    torch.save(lm.state_dict(), tmp_path / "valid.loss.ave.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(models.lm_config("gru")))
    both = find_models([found.first.directory], None, str(tmp_path))
    for weight, names in ((0.0, ["decoder"]), (0.5, ["decoder", "lm"])):
        engine = Engine(both, SearchOptions(lm_weight=weight, ctc_weight=0.0), Computing(1000))
        assert [one.name for one in engine.scorers.full] == names
        assert [one.weight for one in engine.scorers.full] == [1.0, weight][: len(names)]


def test_features_that_do_not_fit_are_named(place):
    found, rows = place
    engine = Engine(found, SearchOptions(), Computing(1000))
    engine.args.input_size = 9
    with pytest.raises(UserError, match=r"utt0: features of shape \(12, 8\), the model takes 9 bins"):
        engine.read(rows[0])
    engine.args.input_size = 8
    x = engine.read(rows[0])
    assert x.dtype == np.float32 and x.flags.writeable


def test_audio_is_read_as_numbers_from_minus_one_to_one(place, tmp_path):
    samples = np.array([-32768, -1, 0, 1, 16384, 32767], np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="PCM_16")
    (tmp_path / "wav.scp").write_text(f"a {tmp_path}/a.wav\n")
    engine = Engine(place[0], SearchOptions(), Computing(1000))
    engine.source = engine.source._replace(sample_rate=8000)
    [row] = read_rows(tmp_path, engine.source)
    x = engine.read(row)
    assert x.dtype == np.float32 and x.tolist() == [-1.0, -1 / 32768, 0.0, 1 / 32768, 0.5, 32767 / 32768]
    engine.source = engine.source._replace(sample_rate=16000)
    with pytest.raises(UserError, match=r"a: .*a.wav has 8000 Hz, the model takes 16000; resample it"):
        engine.read(row)
