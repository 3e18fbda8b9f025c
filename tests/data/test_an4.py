"""AN4 in upstream's layout -> train, dev, test."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kdasr.cli import main
from kdasr.data.an4 import spread
from kdasr.data.audio import read_audio
from kdasr.data.kaldi_check import validate
from kdasr.files import read_table

AN4 = Path(os.environ.get("KDASR_AN4", Path(__file__).resolve().parents[3] / "shared" / "data" / "an4"))


def make(root, suffix=".raw"):
    """Five training speakers with two utterances each, one test speaker."""
    train = [(s, p) for s in ("fa", "fb", "mc", "mc2", "md") for p in ("an1", "cen2")]
    test = [("me", "an3")]
    (root / "etc").mkdir(parents=True)
    for part, rows, folder, marks in (("train", train, "an4_clstk", True), ("test", test, "an4test_clstk", False)):
        for speaker, prompt in rows:
            path = root / "wav" / folder / speaker / f"{prompt}-{speaker}-b{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(np.arange(50, dtype=">i2").tobytes())
        (root / f"etc/an4_{part}.fileids").write_text("".join(f"{folder}/{s}/{p}-{s}-b\n" for s, p in rows))
        lines = [f"{'<s> ' if marks else ''}go {p} {'</s> ' if marks else ''}({p}-{s}-b)\n" for s, p in reversed(rows)]
        (root / f"etc/an4_{part}.transcription").write_text("".join(lines))


def prepare(root, out, *more):
    return main(["data", "an4", "--an4", str(root), "--out", str(out), *more])


@pytest.mark.parametrize("suffix", [".raw", ".flac", ".sph", ".wav"])
def test_sets(tmp_path, suffix):
    make(tmp_path / "an4", suffix)
    assert prepare(tmp_path / "an4", tmp_path / "data", "--dev_speakers", "2") == 0
    dev, train, test = (read_table(tmp_path / "data" / name / "text") for name in ("dev", "train", "test"))
    assert dev == {f"{s}-{p}": f"GO {p.upper()}" for s in ("fb", "mc2") for p in ("an1", "cen2")}  # 2nd and 4th of 5
    assert train == {f"{s}-{p}": f"GO {p.upper()}" for s in ("fa", "mc", "md") for p in ("an1", "cen2")}
    assert test == {"me-an3": "GO AN3"}
    assert read_table(tmp_path / "data/train/spk2gender") == {"fa": "f", "mc": "m", "md": "m"}
    assert (
        tmp_path / "data/test/wav.scp"
    ).read_text() == f"me-an3 {tmp_path}/an4/wav/an4test_clstk/me/an3-me-b{suffix}\n"
    assert (tmp_path / "data/dev/spk2utt").read_text() == "fb fb-an1 fb-cen2\nmc2 mc2-an1 mc2-cen2\n"
    for name in ("train", "dev", "test"):
        validate(tmp_path / "data" / name, feats=False)


def test_spread():
    assert spread(list("abcdefghij"), 2) == ["c", "h"]
    assert spread(list("abcde"), 5) == list("abcde")
    assert spread(list("abcde"), 1) == ["c"]


def drop_last_line(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda r: (r / "wav/an4_clstk/fa/an1-fa-b.raw").unlink(), "an4_train.fileids:1: there is no"),
        (lambda r: (r / "etc/an4_test.fileids").unlink(), "an4_test.fileids: no such file"),
        (lambda r: drop_last_line(r / "etc/an4_train.transcription"), "(10) and an4_train.transcription (9)"),
        (
            lambda r: (r / "etc/an4_test.transcription").write_text("GO (x-y)\n"),
            "an4_test.transcription:1: expected a n",
        ),
        (
            lambda r: (r / "etc/an4_test.transcription").write_text("GO\n"),
            "an4_test.transcription:1: expected 'TEXT (F",
        ),
        (lambda r: (r / "etc/an4_test.transcription").write_text("<s> </s> (an3-me-b)\n"), "an3-me-b has no words"),
        (lambda r: (r / "etc/an4_test.fileids").write_text("an4test_clstk/me/an3-me-b\n" * 2), ":2: an4test_clstk"),
    ],
)
def test_errors(tmp_path, capsys, damage, words):
    make(tmp_path / "an4")
    damage(tmp_path / "an4")
    assert prepare(tmp_path / "an4", tmp_path / "data", "--dev_speakers", "1") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_dev_speakers_has_bounds(tmp_path, capsys):
    make(tmp_path / "an4")
    for number in ("0", "5"):
        assert prepare(tmp_path / "an4", tmp_path / "data", "--dev_speakers", number) == 1
        assert "expected 1 to 4" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.skipif(not (AN4 / "etc").is_dir(), reason=f"AN4 is not at {AN4} (name its place in KDASR_AN4)")
def test_the_real_corpus(tmp_path):
    assert prepare(AN4, tmp_path) == 0
    tables = {name: read_table(tmp_path / name / "text") for name in ("train", "dev", "test")}
    assert {name: len(table) for name, table in tables.items()} == {"train": 844, "dev": 104, "test": 130}
    speakers = {name: {u.split("-")[0] for u in table} for name, table in tables.items()}
    assert {name: len(found) for name, found in speakers.items()} == {"train": 66, "dev": 8, "test": 10}
    assert not speakers["train"] & speakers["dev"] and not speakers["test"] & (speakers["train"] | speakers["dev"])
    assert Counter(s[0] for s in speakers["dev"]) == {"f": 2, "m": 6}  # 21 of the 74 are women
    assert tables["train"]["fash-an251"] == "YES"
    assert tables["test"]["fcaw-an406"] == "RUBOUT G M E F THREE NINE"
    samples, rate = read_audio(read_table(tmp_path / "test/wav.scp")["fcaw-an406"])
    assert rate == 16000 and 16000 < len(samples) < 160000
    for name in tables:
        validate(tmp_path / name, feats=False)


def test_lists_may_have_a_mark_tabs_and_dos_ends(tmp_path):
    make(tmp_path / "an4")
    for path in (tmp_path / "an4/etc").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"go ", b"go\t").replace(b"\n", b"\t\r\n"))
    assert prepare(tmp_path / "an4", tmp_path / "data", "--dev_speakers", "1") == 0
    assert read_table(tmp_path / "data/test/text") == {"me-an3": "GO AN3"}
    validate(tmp_path / "data/train", feats=False)


def test_what_is_no_text_or_no_place(tmp_path, capsys):
    make(tmp_path / "an4")
    (tmp_path / "file").write_text("")
    assert prepare(tmp_path / "an4", tmp_path / "file", "--dev_speakers", "1") == 1
    assert "this is a file, expected a directory" in capsys.readouterr().err
    for content, words in ((b"\xff\n", "an4_test.fileids:1: not UTF-8"), (b"x\0\n", "an4_test.fileids:1: holds a NUL")):
        (tmp_path / "an4/etc/an4_test.fileids").write_bytes(content)
        assert prepare(tmp_path / "an4", tmp_path / "data", "--dev_speakers", "1") == 1
        assert words in capsys.readouterr().err


def test_a_corpus_whose_path_is_not_utf8_is_refused(tmp_path, capsys):
    try:
        make(tmp_path / "an\udcff4")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert prepare(tmp_path / "an\udcff4", tmp_path / "data", "--dev_speakers", "1") == 1
    assert "is not UTF-8; rename the file" in capsys.readouterr().err
