"""A small copy of the discs' layout -> the data directories that Kaldi's recipe makes of it."""

import shutil
from types import SimpleNamespace

import pytest

from kdasr.cli import main
from kdasr.data import wsj
from kdasr.data.kaldi_check import validate
from kdasr.errors import UserError
from kdasr.files import read_table

AUDIO = {  # disc: files; each is empty, since preparation looks only whether it is there
    "11-1.1": ["wsj0/si_tr_s/011/011c0201.wv1", "wsj0/si_tr_s/011/011c0202.wv1"],
    "11-2.1": ["wsj0/si_tr_s/401/401c0201.wv1", "wsj0/si_tr_s/402/402c0201.wv1"],
    "11-14.1": ["wsj0/si_et_20/440/440c0401.wv1", "wsj0/si_et_05/440/440c0402.wv1"],
    "13-1.1": ["wsj1/si_tr_s/46k/46kc0301.wv1"],
    "13-16.1": [
        "wsj1/si_dt_20/4k0/4k0c0301.wv1",
        "wsj1/si_dt_20/4k0/4k0c0302.wv1",
        "wsj1/si_dt_05/4k1/4k1c0301.wv1",
        "wsj1/si_dt_05/4k1/4k1c0301.wv2",
    ],
    "13-33.1": ["wsj1/si_et_h1/wsj64k/4oa/4oac0201.wv1", "wsj1/si_et_h2/wsj5k/4oa/4oac0202.wv1"],
}
TEXTS = {
    "11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx": (
        "; a comment\n11_1_1:wsj0/si_tr_s/011/011c0201.wv1\n11_1_1:wsj0/si_tr_s/011/011c0202.wv1\n"
        "11_2_1:wsj0/si_tr_s/401/401c0201.wv1\n11_2_1:wsj0/si_tr_s/402/402c0201.wv1\n"
    ),
    "11-13.1/wsj0/doc/indices/test/nvp/si_et_20.ndx": "11_14_1:wsj0/si_et_20/440/440c0401\n",
    "11-13.1/wsj0/doc/indices/test/nvp/si_et_05.ndx": "11_14_1: /wsj0/si_et_05/440/440c0402\n",
    "13-34.1/wsj1/doc/indices/si_tr_s.ndx": "13_1_1: wsj1/si_tr_s/46k/46kc0301.wv1\n",
    "13-34.1/wsj1/doc/indices/h1_p0.ndx": "13_16_1:wsj1/si_dt_20/4k0/4k0c0301.wv1\n",
    "13-34.1/wsj1/doc/indices/h2_p0.ndx": "13_16_1:wsj1/si_dt_05/4k1/4k1c0301.wv1\n",
    "13-32.1/wsj1/doc/indices/wsj1/eval/h1_p0.ndx": "13_32_1:wsj1/si_et_h1/wsj64k/4oa/4oac0201.wv1\n",
    "13-32.1/wsj1/doc/indices/wsj1/eval/h2_p0.ndx": "13_32_1:wsj1/si_et_h2/wsj5k/4oa/4oac0202.wv1\n",
    "11-4.1/wsj0/transcrp/dots/si_tr_s/011/011c0200.dot": "The first one (011c0201)\nAnd [cough] two (011c0202)\n",
    "11-4.1/wsj0/transcrp/dots/si_tr_s/402/402c0200.dot": r"I\. B\. M\. <rose> (402c0201)" + "\n",
    "11-14.1/wsj0/transcrp/dots/440c0400.dot": "Ten %PERCENT (440c0401)\nFive (440c0402)\nUnrecorded (440c0403)\n",
    "13-34.1/wsj1/trans/46kc0300.dot": "More --DASH (46kc0301)\n",
    "13-34.1/wsj1/trans/4k0c0300.dot": "Dev one (4k0c0301)\nDev two (4k0c0302)\n",
    "13-34.1/wsj1/trans/4k1c0300.dot": "Dev five (4k1c0301)\n",
    "13-32.1/wsj1/trans/4oac0200.dot": "Eval (4oac0201)\nEval five (4oac0202)\n",
    "11-13.1/wsj0/doc/spkrinfo.txt": "; id sex\n440 M x\n",
    "13-32.1/wsj1/doc/evl_spok/spkrinfo.txt": "4OA F x\n",
    "13-34.1/wsj1/doc/dev_spok/spkrinfo.txt": "4k0 F\n4k1 M\n",
    "13-34.1/wsj1/doc/train/spkrinfo.txt": "46k M\n",
    "wsj0-train-spkrinfo.txt": "011 F\n402 M\n401 F\n",
}
EXPECTED = {  # set: text by utterance
    "train_si84": {"011c0201": "THE FIRST ONE", "011c0202": "AND <NOISE> TWO", "402c0201": "I. B. M. ROSE"},
    "train_si284": {
        "011c0201": "THE FIRST ONE",
        "011c0202": "AND <NOISE> TWO",
        "402c0201": "I. B. M. ROSE",
        "46kc0301": "MORE -DASH",
    },
    "test_dev93": {"4k0c0301": "DEV ONE"},
    "test_eval92": {"440c0401": "TEN PERCENT"},
    "test_eval93": {"4oac0201": "EVAL"},
    "test_dev93_5k": {"4k1c0301": "DEV FIVE"},
    "test_eval92_5k": {"440c0402": "FIVE"},
    "test_eval93_5k": {"4oac0202": "EVAL FIVE"},
    "dev_dt_20": {"4k0c0301": "DEV ONE", "4k0c0302": "DEV TWO"},
    "dev_dt_05": {"4k1c0301": "DEV FIVE"},
}


@pytest.fixture
def discs(tmp_path):
    root = tmp_path / "discs"
    for disc, files in AUDIO.items():
        for file in files:
            (root / disc / file).parent.mkdir(parents=True, exist_ok=True)
            (root / disc / file).touch()
    for file, text in TEXTS.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    return root


def prepare(out, *arguments):
    return main(["data", "wsj", "--out", str(out), *map(str, arguments)])


def contents(out):
    return {
        directory.name: {file.name: file.read_text() for file in directory.iterdir()}
        for directory in sorted(out.iterdir())
        if directory.is_dir()
    }


def check_expected(out, root):
    assert {d.name for d in out.iterdir()} == set(EXPECTED)
    for name, texts in EXPECTED.items():
        assert read_table(out / name / "text") == texts
        utt2spk = read_table(out / name / "utt2spk")
        assert utt2spk == {u: u[:3] for u in texts}
        audio = read_table(out / name / "wav.scp")
        assert all(path.startswith(f"{root}/") and path.lower().endswith(f"{u}.wv1") for u, path in audio.items())
        assert list(audio) == list(texts)
        validate(out / name, feats=False)


def test_every_set_as_kaldi_makes_it(discs, tmp_path, capsys):
    assert prepare(tmp_path / "data", discs) == 0
    check_expected(tmp_path / "data", discs)
    genders = read_table(tmp_path / "data" / "train_si284" / "spk2gender")
    assert genders == {"011": "f", "402": "m", "46k": "m"}
    assert (tmp_path / "data/train_si84/spk2utt").read_text() == "011 011c0201 011c0202\n402 402c0201\n"
    scp = read_table(tmp_path / "data" / "test_eval93" / "wav.scp")
    assert scp == {"4oac0201": f"{discs}/13-33.1/wsj1/si_et_h1/wsj64k/4oa/4oac0201.wv1"}
    printed = capsys.readouterr().out
    notes = [line for line in printed.splitlines() if line.startswith("note:")]
    assert len(notes) == 1 and "train_si84 3 (7138)" in notes[0] and "test_eval93_5k 1 (213 or 215)" in notes[0]
    assert "absent" not in printed


def test_discs_one_by_one_and_again(discs, tmp_path, capsys):
    assert prepare(tmp_path / "parent", discs) == 0
    names = [discs / name for name in [*AUDIO, "11-13.1", "11-4.1", "13-32.1", "13-34.1"]]
    assert prepare(tmp_path / "single", *names) == 0
    assert contents(tmp_path / "single") == contents(tmp_path / "parent")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "single").rglob("*")}
    capsys.readouterr()
    assert prepare(tmp_path / "single", *names) == 0
    assert capsys.readouterr().out.count("(unchanged)") == len(EXPECTED)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "single").rglob("*")} == stamps


def test_two_corpora_side_by_side(discs, tmp_path):
    for disc in [*discs.glob("1?-*")]:
        corpus = discs / ("LDC93S6B" if disc.name.startswith("11") else "LDC94S13B")
        corpus.mkdir(exist_ok=True)
        disc.rename(corpus / disc.name)
    (discs / "wsj0-train-spkrinfo.txt").rename(discs / "LDC93S6B" / "wsj0-train-spkrinfo.txt")
    assert prepare(tmp_path / "data", discs) == 0
    check_expected(tmp_path / "data", discs)


def test_merged_tree_gives_the_same(discs, tmp_path):
    assert prepare(tmp_path / "a", discs) == 0
    merged = tmp_path / "merged"
    merged.mkdir()
    for disc in sorted(discs.glob("1?-*")):
        shutil.copytree(disc, merged, dirs_exist_ok=True)
    shutil.copy(discs / "wsj0-train-spkrinfo.txt", merged)
    assert prepare(tmp_path / "b", merged) == 0
    assert prepare(tmp_path / "c", merged / "wsj0", merged / "wsj1") == 0
    check_expected(tmp_path / "b", merged)
    assert contents(tmp_path / "b") == contents(tmp_path / "c")
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    for name, files in a.items():
        for file, text in files.items():
            if file != "wav.scp":
                assert b[name][file] == text
            else:
                assert [line.split("/wsj")[1] for line in b[name][file].splitlines()] == [
                    line.split("/wsj")[1] for line in text.splitlines()
                ]


def test_capitals_and_dos_line_ends(discs, tmp_path):
    assert prepare(tmp_path / "small", discs) == 0
    for path in sorted(discs.rglob("*"), key=lambda p: -len(p.parts)):
        if path.parent != discs and path.is_file() and path.suffix in (".ndx", ".dot", ".txt"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        if path.parent != discs:
            path.rename(path.with_name(path.name.upper()))
    assert prepare(tmp_path / "large", discs) == 0
    check_expected(tmp_path / "large", discs)
    small, large = contents(tmp_path / "small"), contents(tmp_path / "large")
    for name in EXPECTED:
        for file in ("text", "utt2spk", "spk2utt", "spk2gender"):
            assert small[name][file] == large[name][file]


def test_what_is_dropped_is_counted(discs, tmp_path, capsys):
    (discs / "11-1.1/wsj0/si_tr_s/011/011c0201.wv1").unlink()
    (discs / "13-34.1/wsj1/trans/4k0c0300.dot").write_text("Dev one (4k0c0301)\n. (4k0c0302)\n")
    (discs / "13-34.1/wsj1/trans/notes.dot").write_text("not a transcript\n")
    assert prepare(tmp_path / "data", discs) == 0
    assert list(read_table(tmp_path / "data/train_si84/text")) == ["011c0202", "402c0201"]
    assert list(read_table(tmp_path / "data/dev_dt_20/text")) == ["4k0c0301"]
    printed = capsys.readouterr().out
    assert "train_si84: 2 utterances, 2 speakers; 1 listed but not there (first: 11-1.1/wsj0/si_tr_s/011/" in printed
    assert "dev_dt_20: 1 utterances, 1 speakers; 1 without a transcript (first: 4k0c0302)" in printed
    assert "1 .dot files are called otherwise" in printed


def test_unknown_gender_leaves_the_table_out(discs, tmp_path, capsys):
    moved = (discs / "wsj0-train-spkrinfo.txt").rename(tmp_path / "somewhere.txt")
    assert prepare(tmp_path / "data", discs) == 0
    assert not (tmp_path / "data/train_si84/spk2gender").exists()
    assert (tmp_path / "data/test_dev93/spk2gender").exists()
    assert "no spk2gender: 2 speakers of unknown gender (first: 011)" in capsys.readouterr().out
    assert prepare(tmp_path / "data", "--spkrinfo", moved, discs) == 0
    assert read_table(tmp_path / "data/train_si84/spk2gender") == {"011": "f", "402": "m"}


def test_absent_sets_are_named(discs, tmp_path, capsys):
    for disc in ("13-32.1", "13-33.1", "13-16.1"):
        shutil.rmtree(discs / disc)
    (discs / "11-13.1/wsj0/doc/indices/test/nvp/si_et_05.ndx").unlink()
    shutil.rmtree(discs / "11-14.1/wsj0/si_et_20")
    assert prepare(tmp_path / "data", discs) == 0
    absent = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("absent: "))
    for words in (
        "test_eval93 (no disc 13-32.1)",
        "test_dev93 (no disc 13-16.1)",
        "test_eval92_5k (no wsj0/doc/indices/test/nvp/si_et_05.ndx)",
        "test_eval92 (none of its 1 files is there)",
        "dev_dt_20 (no wsj1/si_dt_20 on 13-16.1)",
    ):
        assert words in absent
    assert {d.name for d in (tmp_path / "data").iterdir()} == {"train_si84", "train_si284"}


def remove(path):
    def work(root):
        shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return work


def append(path, text):
    def work(root):
        with (root / path).open("a") as stream:
            stream.write(text)

    return work


INDEX = "11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove("11-13.1"), ["disc 11-13.1 is needed"]),
        (remove("11-2.1"), ["tr_s_wv1.ndx", "402c0201.wv1 on disc 11-2.1", "add the disc"]),
        (remove("13-1.1"), ["si_tr_s.ndx", "disc 13-1.1", "add the disc"]),
        (remove("11-4.1"), ["no transcript file 011c0200.dot", "011c0201 needs"]),
        (remove("13-1.1/wsj1"), []),  # si84's files and WSJ1's list are there: counted, see below
        (append(INDEX, "garbage\n"), ["tr_s_wv1.ndx:6", "'garbage'"]),
        (append(INDEX, "11_1_1:wsj0/si_tr_s/011/011c0201.wv1\n"), ["train_si84: 011c0201 is in it twice"]),
        (append("11-4.1/wsj0/transcrp/dots/si_tr_s/011/011c0200.dot", "oops\n"), ["011c0200.dot:3", "'oops'"]),
    ],
)
def test_errors_write_nothing(discs, tmp_path, capsys, damage, words):
    damage(discs)
    status = prepare(tmp_path / "data", discs)
    if not words:
        assert status == 0 and "train_si284: 3 utterances" in capsys.readouterr().out
        return
    assert status == 1 and not (tmp_path / "data").exists()
    message = capsys.readouterr().err
    assert all(word in message for word in words), message


def test_wrong_directories(discs, tmp_path, capsys):
    assert prepare(tmp_path / "data", tmp_path / "nowhere") == 1
    assert "nowhere: no such directory" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert prepare(tmp_path / "data", discs, tmp_path / "empty") == 1
    assert "empty: no WSJ disc" in capsys.readouterr().err
    shutil.copytree(discs / "11-1.1", tmp_path / "copy" / "11-1.1")
    assert prepare(tmp_path / "data", discs, tmp_path / "copy") == 1
    assert "11-1.1 is at" in capsys.readouterr().err
    assert prepare(tmp_path / "data", discs, discs / "11-1.1") == 0  # the same one twice does no harm


def test_a_failed_run_leaves_the_old_sets(discs, tmp_path):
    assert prepare(tmp_path / "data", discs) == 0
    before = contents(tmp_path / "data")
    append(INDEX, "garbage\n")(discs)
    assert prepare(tmp_path / "data", discs) == 1
    assert contents(tmp_path / "data") == before


def test_a_directory_of_something_else_is_not_replaced(discs, tmp_path):
    from kdasr.data.kaldi_dir import put_dir

    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no data directory"):
        put_dir(tmp_path / "home", {"utt2spk": {"a-1": "a"}})
    assert (tmp_path / "home" / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("disc", "path", "left_out"),
    [
        ("11-2.1", "wsj0/si_tr_s/401/401c0201.wv1", True),
        ("11-2.1", "WSJ0/SI_TR_S/401/401C0201.WV1", True),
        ("11-1.1", "wsj0/si_tr_s/401/401c0201.wv1", False),  # Kaldi's recipe takes those of other discs
        ("wsj0", "wsj0/si_tr_s/401/401c0201.wv1", True),  # of a merged tree nobody knows the disc
        ("11-2.1", "wsj0/si_tr_s/402/402c0201.wv1", False),
        ("11-2.1", "wsj0/si_tr_l/401/401c0201.wv1", False),
    ],
)
def test_speaker_401_is_left_out_of_its_disc(disc, path, left_out):
    corpus = SimpleNamespace(discs={"11-1.1": None, "11-2.1": None})
    assert wsj._excluded(corpus, disc, path) is left_out
