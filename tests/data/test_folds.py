"""Cutting a set for cross-fitting: each utterance in one part, its copies with it, the same every time."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.cli import main
from kdasr.data.holdout import shuffled
from kdasr.data.kaldi_check import validate
from kdasr.data.kaldi_dir import put_dir
from kdasr.files import read_table


@pytest.fixture
def source(tmp_path):
    """Eleven utterances of three speakers, each at two speeds."""
    names = [f"{speed}s{i % 3}-{i:02d}" for i in range(11) for speed in ("", "sp0.9-")]
    utt2spk = {name: name[:-3] for name in names}
    tables = {
        "utt2spk": utt2spk,
        "text": {u: f"WORDS OF {u}" for u in names},
        "feats.scp": {u: f"/f.ark:{i}" for i, u in enumerate(names)},
        "utt2num_frames": {u: str(i + 1) for i, u in enumerate(names)},
        "utt2dur": {u: str((i + 1) / 100) for i, u in enumerate(names)},
        "utt2uniq": {u: u.removeprefix("sp0.9-") for u in names},
    }
    put_dir(tmp_path / "src", tables)
    np.savez(tmp_path / "src/cmvn.npz", count=1)
    return tmp_path / "src"


def folds(source, *options):
    out = source.parent / "out"
    return main(["data", "folds", str(source), "--out", str(out), *map(str, options)]), out


@pytest.mark.parametrize("n", [2, 3, 11])
def test_every_utterance_is_in_one_part(source, n, capsys):
    status, out = folds(source, "--folds", n)
    assert status == 0
    whole = {name: read_table(source / name) for name in ("utt2spk", "text", "feats.scp", "utt2num_frames", "utt2dur")}
    parts = [read_table(out / f"fold{i}/utt2spk") for i in range(1, n + 1)]
    assert sorted(u for part in parts for u in part) == sorted(whole["utt2spk"])
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 2 and sum(sizes) == 22  # an utterance and its copy
    for i, part in enumerate(parts, 1):
        assert {u.removeprefix("sp0.9-") for u in part} | {f"sp0.9-{u}" for u in part if u[0] == "s"} >= part.keys()
        assert all(f"sp0.9-{u}" in part for u in part if not u.startswith("sp0.9-"))
        for name, table in whole.items():
            inside, outside = read_table(out / f"fold{i}" / name), read_table(out / f"rest{i}" / name)
            assert inside.keys() == part.keys() and not inside.keys() & outside.keys()
            assert {**inside, **outside} == table
        assert (out / f"rest{i}/cmvn.npz").read_bytes() == (source / "cmvn.npz").read_bytes()
        assert not (out / f"fold{i}/cmvn.npz").exists()
        validate(out / f"fold{i}", wav=False)
        validate(out / f"rest{i}", wav=False)
    assert len(list(out.iterdir())) == 2 * n
    assert (
        f"{out}/fold{n}: {sizes[-1]} utterances; {out}/rest{n}: the other {22 - sizes[-1]}" in capsys.readouterr().out
    )


def test_the_same_seed_cuts_the_same(source, capsys):
    _, out = folds(source, "--seed", 3)
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    stamps = {path: path.stat().st_mtime_ns for path in first}
    capsys.readouterr()
    assert folds(source, "--seed", 3)[0] == 0
    assert capsys.readouterr().out.count("(there already)") == 2
    assert {path: path.stat().st_mtime_ns for path in first} == stamps
    assert folds(source, "--seed", 4)[0] == 0
    assert {path: path.read_bytes() for path in first} != first
    assert "(there already)" not in capsys.readouterr().out


def test_without_text_there_is_none(source):
    (source / "text").unlink()
    status, out = folds(source)
    assert status == 0 and not list(out.rglob("text"))


def test_a_part_is_every_nth_of_the_shuffled(source):
    # not stretches of them: results of older cuts could not be made again
    groups = shuffled([f"s{i % 3}-{i:02d}" for i in range(11)], 5, {})
    _, out = folds(source, "--folds", 3, "--seed", 5)
    for n in (1, 2, 3):
        mine = [name for group in groups[n - 1 :: 3] for name in group]
        assert read_table(out / f"fold{n}/utt2spk").keys() == {*mine, *(f"sp0.9-{name}" for name in mine)}


def test_known_cut():
    # as test_known_draw of the holdout: if this changes, old results cannot be made again
    groups = shuffled([f"u{i}" for i in range(8)], 1, {})
    assert {group[0] for group in groups[:4]} == {"u1", "u3", "u5", "u7"}


@given(st.integers(1, 30), st.integers(0, 9), st.randoms(use_true_random=False))
def test_groups_hold_all_copies_in_whatever_order(n, seed, random):
    names = [f"{speed}s-{i}" for i in range(n) for speed in ("", "sp0.9-", "sp1.1-")]
    groups = shuffled(names, seed, {})
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert all(len({name.rpartition("-")[2] for name in group}) == 1 and len(group) == 3 for group in groups)
    again = shuffled(random.sample(names, len(names)), seed, {})
    assert [set(group) for group in again] == [set(group) for group in groups]


@pytest.mark.parametrize("n", [-1, 0, 1, 12])
def test_bad_numbers_of_parts(source, capsys, n):
    status, out = folds(source, f"--folds={n}")
    assert status == 1 and not out.exists()
    assert f"--folds {n}: {source} has 11 utterances" in capsys.readouterr().err


def test_refusals(source, capsys):
    out = source.parent / "out"
    assert folds(source, "--folds", 3)[0] == 0
    before = sorted(path for path in out.rglob("*"))
    assert folds(source, "--folds", 2)[0] == 1
    assert f"{out}: holds fold3 of a cut into more parts than 2" in capsys.readouterr().err
    assert sorted(path for path in out.rglob("*")) == before
    assert main(["data", "folds", str(out / "rest1"), "--out", str(out), "--folds", "3"]) == 1
    assert "would be replaced by a part of itself" in capsys.readouterr().err
    assert main(["data", "folds", str(source.parent / "none"), "--out", str(out)]) == 1
    assert "none/utt2spk: no such file" in capsys.readouterr().err


DAMAGES = [
    ("utt2spk", b"\xff\n", "utt2spk:1: not UTF-8"),
    ("utt2spk", b"a a\n\0 b\n", "utt2spk:2: holds a NUL byte"),
    ("utt2spk", b"a\n", "utt2spk:1: expected 'KEY VALUE'"),
    ("feats.scp", b"a b\na b\n", "feats.scp:2: a is here a second time"),
    ("utt2spk", b"", "has 0 utterances"),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGES)
def test_damaged_tables_are_named(source, capsys, name, content, message):
    (source / name).write_bytes(content)
    assert folds(source)[0] == 1
    assert message in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(source, capsys):
    (source.parent / "out").write_text("")
    assert folds(source)[0] == 1
    assert "this is a file, expected a directory" in capsys.readouterr().err


def test_tabs_a_mark_and_dos_ends_change_nothing(source):
    assert folds(source)[0] == 0
    made = {
        path: path.read_bytes() for path in source.parent.rglob("*") if path.is_file() and source not in path.parents
    }
    for name in ("utt2spk", "text", "utt2dur"):
        data = re.sub(rb"(?m)^(\S+) ", rb"\1 \t", (source / name).read_bytes()).replace(b"\n", b"\r\n")
        (source / name).write_bytes(b"\xef\xbb\xbf" + data)
    assert folds(source)[0] == 0
    assert {path: path.read_bytes() for path in made} == made
