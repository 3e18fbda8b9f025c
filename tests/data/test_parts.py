"""Parts of a directory whose tables stay on disk are those of the tables in memory."""

import random

import numpy as np
import pytest

from kdasr.data.holdout import shuffled
from kdasr.data.kaldi_dir import ALL_TABLES, keep_utterances, put_dir, read_dir
from kdasr.data.parts import LongDir
from kdasr.errors import UserError

NAMES = ["a-1", "a-2", "b-1", "a-10", "sp0.9-a-1", "sp1.1-b-1", "b", "\u00e9"]


def source(directory, segments, shuffle):
    directory.mkdir()
    speakers = {name: f"s{-place % 3}" for place, name in enumerate(NAMES)}
    recordings = {name: f"r{place // 2}" for place, name in enumerate(NAMES)} if segments else {n: n for n in NAMES}
    tables = {
        "utt2spk": speakers,
        "text": {name: "" if name == "b" else f"w {name}" for name in NAMES},
        "utt2uniq": {"a-10": "b", "b": "b"},
        "spk2gender": dict.fromkeys(speakers.values(), "m"),
        "wav.scp": {recording: f"/x/{recording}.wav" for recording in recordings.values()},
    }
    if segments:
        tables["segments"] = {name: f"{recording} 0 1" for name, recording in recordings.items()}
    for name, table in tables.items():
        lines = [f"{key}  {value}\n" for key, value in table.items()]
        random.Random(name if shuffle else 0).shuffle(lines)
        (directory / name).write_text("".join(lines if shuffle else sorted(lines, key=str.encode)))


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_part_is_that_of_tables_in_memory(tmp_path, segments, shuffle):
    source(tmp_path / "d", segments, shuffle)
    tables = read_dir(tmp_path / "d")
    assert set(tables) <= set(ALL_TABLES)
    order = list(tables["utt2spk"])
    with LongDir(tmp_path / "d") as whole:
        for number in range(1, 40):
            kept = np.array([bool(number * (place + 3) % 7 % 2) for place in range(len(order))])
            keep = {name for name, is_in in zip(order, kept, strict=True) if is_in}
            if not keep:
                continue
            put_dir(tmp_path / "theirs", keep_utterances(tables, keep), b"x")
            whole.put(tmp_path / "ours", kept, cmvn=b"x")
            assert files(tmp_path / "ours") == files(tmp_path / "theirs")
            assert not whole.put(tmp_path / "ours", kept, cmvn=b"x")
            assert whole.put(tmp_path / "ours", kept, without="text")
            assert files(tmp_path / "ours").keys() == files(tmp_path / "theirs").keys() - {"text", "cmvn.npz"}
        with pytest.raises(UserError, match="no utterance is left"):
            whole.put(tmp_path / "ours", kept & False)
        for seed in range(5):
            groups = shuffled(order, seed, tables["utt2uniq"])
            place = {name: number for number, group in enumerate(groups) for name in group}
            assert whole.shuffled(seed).tolist() == [place[name] for name in order]
    assert not list(tmp_path.glob(".*"))
