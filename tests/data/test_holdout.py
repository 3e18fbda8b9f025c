"""Setting part of a set aside: complete, disjoint, the same every time, and without a word of text."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.cli import main
from kdasr.data.holdout import hold_out, shuffled
from kdasr.data.kaldi_check import validate
from kdasr.data.kaldi_dir import put_dir
from kdasr.errors import UserError
from kdasr.files import read_table


@pytest.fixture
def source(tmp_path):
    utt2spk = {f"s{i // 5}-{i:02d}": f"s{i // 5}" for i in range(20)}
    tables = {
        "utt2spk": utt2spk,
        "text": {u: f"SECRET {u}" for u in utt2spk},
        "feats.scp": {u: f"/f.ark:{i}" for i, u in enumerate(utt2spk)},
        "utt2num_frames": {u: str(i + 1) for i, u in enumerate(utt2spk)},
        "utt2dur": {u: str((i + 1) / 100) for i, u in enumerate(utt2spk)},
        "spk2gender": {f"s{i}": "m" for i in range(4)},
    }
    put_dir(tmp_path / "src", tables)
    np.savez(tmp_path / "src/cmvn.npz", count=1)
    (tmp_path / "src/manifest.json").write_text("{}")
    return tmp_path / "src"


def cut(source, *options):
    lab, unlab = source.parent / "lab", source.parent / "unlab"
    status = main(["data", "holdout", str(source), "--labelled", str(lab), "--unlabelled", str(unlab), *options])
    return status, lab, unlab


def draw(names, share, seed, originals=()):
    """The utterances that keep their text, of a directory that has these in this order."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "all").mkdir()
        tables = {"utt2spk": dict.fromkeys(names, "s"), "text": dict.fromkeys(names, "A"), "utt2uniq": dict(originals)}
        for name, table in tables.items():  # as they come, and not in order as put_dir writes them
            (root / "all" / name).write_text("".join(f"{key} {value}\n" for key, value in table.items()))
        hold_out(root / "all", root / "lab", root / "unlab", share, seed)
        away = set(read_table(root / "lab/utt2spk"))
        assert away | set(read_table(root / "unlab/utt2spk")) == set(names)
        return away


def test_parts(source):
    status, lab, unlab = cut(source, "--transcribed", "0.7", "--seed", "7")
    assert status == 0
    labelled, unlabelled = read_table(lab / "utt2spk"), read_table(unlab / "utt2spk")
    assert len(labelled) == 14 and len(unlabelled) == 6
    assert {**labelled, **unlabelled} == read_table(source / "utt2spk")
    for name in ("feats.scp", "utt2num_frames", "utt2dur"):
        assert {**read_table(lab / name), **read_table(unlab / name)} == read_table(source / name)
    assert read_table(lab / "text") == {u: f"SECRET {u}" for u in labelled}
    assert not any(b"SECRET" in path.read_bytes() for path in unlab.iterdir())
    assert sorted(p.name for p in unlab.iterdir()) == [
        "feats.scp", "spk2gender", "spk2utt", "utt2dur", "utt2num_frames", "utt2spk"
    ]  # fmt: skip
    assert (lab / "cmvn.npz").read_bytes() == (source / "cmvn.npz").read_bytes()
    assert not (lab / "manifest.json").exists()
    validate(lab, wav=False)
    validate(unlab, wav=False, text=False)


def test_same_seed_same_parts(source):
    _, lab, _ = cut(source, "--seed", "3")
    first = (lab / "utt2spk").read_bytes()
    cut(source, "--seed", "3")
    assert (lab / "utt2spk").read_bytes() == first
    cut(source, "--seed", "4")
    assert (lab / "utt2spk").read_bytes() != first


def test_known_draw():
    # the smallest four of `printf '1 u0' | sha256sum`, ...: if this changes, old results cannot be made again
    names = [f"u{i}" for i in range(8)]
    assert draw(names, 0.5, 1) == {"u1", "u3", "u5", "u7"}
    assert draw(names, 0.25, 1) < draw(names, 0.5, 1) < draw(names, 0.75, 1)


@given(st.integers(2, 40), st.floats(0, 1), st.integers(0, 9))
def test_copies_stay_with_their_original(n, share, seed):
    names = [f"s-{i}" for i in range(n)]
    copies = [f"sp{speed}-{u}" for speed in ("0.9", "1.1") for u in names]
    if not 0 < round(share * n) < n:
        with pytest.raises(UserError, match="leaves one part"):
            draw(names + copies, share, seed)
        return
    away = draw(names + copies, share, seed)
    assert len(away) == 3 * round(share * n)
    for name in names:
        assert len({name in away, f"sp0.9-{name}" in away, f"sp1.1-{name}" in away}) == 1
    assert away == draw([*reversed(names + copies)], share, seed)


def test_utt2uniq_counts_too():
    away = draw(["a", "b", "c", "d"], 0.5, 1, {"c": "a", "d": "b"})
    assert away in ({"a", "c"}, {"b", "d"})


@pytest.mark.parametrize("share", ["0", "1", "-1", "0.01", "nan"])
def test_bad_shares(source, capsys, share):
    status, lab, unlab = cut(source, f"--transcribed={share}")
    assert status == 1 and not lab.exists() and not unlab.exists()
    assert "--transcribed" in capsys.readouterr().err


def test_refusals(source, capsys):
    status = main(["data", "holdout", str(source), "--labelled", str(source), "--unlabelled", str(source) + "2"])
    assert status == 1 and "three different directories" in capsys.readouterr().err
    (source / "text").unlink()
    assert cut(source)[0] == 1
    assert "nothing to set aside" in capsys.readouterr().err


DAMAGES = [
    ("utt2spk", b"\xff\n", "utt2spk:1: not UTF-8"),
    ("utt2spk", b"a a\n\0 b\n", "utt2spk:2: holds a NUL byte"),
    ("utt2spk", b"a\n", "utt2spk:1: expected 'KEY VALUE'"),
    ("feats.scp", b"a b\na b\n", "feats.scp:2: a is here a second time"),
    ("utt2spk", b"", "leaves one part of 0 utterances empty"),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGES)
def test_damaged_tables_are_named(source, capsys, name, content, message):
    (source / name).write_bytes(content)
    assert cut(source)[0] == 1
    assert message in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(source, capsys):
    (source.parent / "lab").write_text("")
    assert cut(source)[0] == 1
    assert "lab: is there and no data directory" in capsys.readouterr().err


def test_tabs_a_mark_and_dos_ends_change_nothing(source):
    assert cut(source)[0] == 0
    made = {
        path: path.read_bytes() for path in source.parent.rglob("*") if path.is_file() and source not in path.parents
    }
    for name in ("utt2spk", "text", "utt2dur"):
        data = re.sub(rb"(?m)^(\S+) ", rb"\1 \t", (source / name).read_bytes()).replace(b"\n", b"\r\n")
        (source / name).write_bytes(b"\xef\xbb\xbf" + data)
    assert cut(source)[0] == 0
    assert {path: path.read_bytes() for path in made} == made


@pytest.mark.parametrize("size", [2, 3, 5, 8, 10])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.33, 0.5, 0.67, 0.9])
def test_a_share_is_rounded(size, share):
    names = [f"u{n}" for n in range(size)]
    count = round(share * size)
    if 0 < count < size:
        assert len(draw(names, share, 1)) == count
    else:
        with pytest.raises(UserError, match="leaves one part of"):
            draw(names, share, 1)


@pytest.mark.parametrize("prefix", ["sp0.9-", "sp1.1-", "sp1.05-", "sp2-", "sp0.5-"])
def test_copies_are_known_by_their_prefix(prefix):
    groups = shuffled(["a", f"{prefix}a", "b", f"{prefix}b", f"x{prefix}a", "sp-a", "spa"], 1, {})
    assert sorted(map(sorted, groups)) == sorted(
        [sorted(["a", f"{prefix}a"]), sorted(["b", f"{prefix}b"]), [f"x{prefix}a"], ["sp-a"], ["spa"]]
    )
