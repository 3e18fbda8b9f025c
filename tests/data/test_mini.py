import multiprocessing
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kdasr.cli import main
from kdasr.data import mini
from kdasr.data.mini_plan import EVAL93_SPEAKERS, SUBSETS, TRAIN, plan, utterance_id
from kdasr.data.recording import render
from kdasr.data.sphere import read_sphere
from kdasr.data.voices import VOICES, Espeak, Settings
from kdasr.data.wsj_text import read_dot, read_genders, read_index
from kdasr.errors import UserError
from kdasr.files import read_json

pytestmark = pytest.mark.needs("espeak")

HOURS = 0.02
FEW = ["train_speakers=6", "dev_speakers=2", "test_speakers=2"]
ARGS = ["--hours", str(HOURS), "--seed", "3", "--set", *FEW]


@pytest.fixture(scope="module")
def discs(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mini") / "discs"
    assert main(["data", "mini", "--out", str(out), "--nj", "1", *ARGS]) == 0
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def indexed(out: Path, name: str) -> list[Path]:
    """The audio files of one index, found as Kaldi's recipe finds them."""
    index = SUBSETS[name].index
    paths = []
    for disc, path in read_index(out / index):
        if name == "eval93":
            disc = disc.replace("13-32.1", "13-33.1")
        paths.append(out / disc / (path + ".wv1" if name == "eval92" else path))
    return paths


def test_every_indexed_file_is_there_and_every_file_is_indexed(discs):
    found = [path for name in SUBSETS for path in indexed(discs, name)]
    assert len(found) == len(set(found)) and set(found) == set(discs.rglob("*.wv1"))
    assert {name: len(indexed(discs, name)) for name in ("dev93", "eval92", "eval93")} == {
        "dev93": 10,
        "eval92": 20,
        "eval93": 4,
    }
    disc = re.compile(r"1[13]-\d+\.1$")  # Kaldi's links: ??-{?,??}.?
    assert all(disc.match(path.name) for path in discs.iterdir() if path.is_dir())


def test_every_audio_file_has_one_transcript_in_its_sessions_file(discs):
    dots = list(discs.rglob("*.dot"))
    assert len({path.name for path in dots}) == len(dots)
    texts = {}
    for path in dots:
        assert re.fullmatch(r"\w{6}00\.dot", path.name)
        table = read_dot(path)
        assert {name[:6] for name in table} == {path.name[:6]}
        texts |= table
    assert set(texts) == {path.stem for path in discs.rglob("*.wv1")}
    assert {path.parent.name for path in discs.rglob("*.wv1")} == {name[:3] for name in texts}


def test_the_transcripts_are_the_plans(discs):
    texts = {name: text.strip() for path in discs.rglob("*.dot") for name, text in read_dot(path).items()}
    assert texts == {u.name: u.sentence.dot for u in plan(HOURS, 3, mini.parse_settings(FEW))}


def test_every_speaker_has_a_sex(discs):
    tables = [
        "11-13.1/wsj0/doc/spkrinfo.txt",
        "13-32.1/wsj1/doc/evl_spok/spkrinfo.txt",
        "13-34.1/wsj1/doc/dev_spok/spkrinfo.txt",
        "13-34.1/wsj1/doc/train/spkrinfo.txt",
    ]
    sexes = read_genders(discs / table for table in tables)
    assert set(sexes) == {path.stem[:3] for path in discs.rglob("*.wv1")}
    assert set(sexes.values()) == {"m", "f"}


def test_audio_is_16_khz_of_sane_length_and_level(discs):
    rates = Counter()
    texts = {u.name: u.sentence.reference for u in plan(HOURS, 3, mini.parse_settings(FEW))}
    characters = samples_in_all = 0
    for path in discs.rglob("*.wv1"):
        samples, rate = read_sphere(path)
        rates[rate] += 1
        assert 1.5 < len(samples) / rate < 7.0
        assert 32767 * 10 ** (-18.1 / 20) < np.abs(samples.astype(int)).max() <= 32767 * 10 ** (-2.9 / 20)
        assert mini.sample_count(path) == len(samples)
        characters += len(texts[path.stem])
        samples_in_all += len(samples)
    assert set(rates) == {16000}
    # A 4-fold subsampled encoder gives 25 frames a second, and CTC wants clearly more frames than characters.
    assert 12.0 < characters / (samples_in_all / 16000) < 17.0
    assert b"pcm,embedded-shorten" in path.read_bytes()[:1024]


def test_the_figures_of_corpus_json(discs):
    corpus = read_json(discs / "corpus.json")
    assert corpus["words_not_in_train"] == 0
    hours = sum(corpus["subsets"][name]["hours"] for name in TRAIN)
    samples = [len(read_sphere(path)[0]) for name in TRAIN for path in indexed(discs, name)]
    assert hours == pytest.approx(sum(samples) / 16000 / 3600, abs=1e-4)
    assert hours == pytest.approx(HOURS, rel=0.15)
    assert corpus["subsets"]["eval92"]["unseen_share"] == 0.5
    assert mini.WARNING in (discs / "README.txt").read_text()


def test_an_utterance_does_not_depend_on_order_or_process(discs):
    settings = mini.parse_settings(FEW)
    espeak = Espeak()
    for u in reversed(plan(HOURS, 3, settings)[::7]):
        key = [3, 2, *u.name.encode()]
        alone = render(espeak, u.sentence.spoken, u.sentence.burst, u.speaker, settings, key)
        np.testing.assert_array_equal(alone, read_sphere(discs / u.audio)[0])


def test_the_number_of_processes_changes_no_byte_and_a_rerun_makes_what_is_missing(
    discs, tmp_path, capsys, monkeypatch
):
    context = multiprocessing.get_context("fork")  # what these processes need is imported here already
    monkeypatch.setattr(multiprocessing, "get_context", lambda _method: context)
    out = tmp_path / "again"
    shutil.copytree(discs, out)
    for path in [*out.rglob("*.ndx"), *out.rglob("*.dot"), out / "corpus.json", *sorted(out.rglob("*.wv1"))[::5]]:
        path.unlink()
    assert main(["data", "mini", "--out", str(out), "--nj", "3", *ARGS]) == 0
    assert "made" in capsys.readouterr().out
    assert contents(out) == contents(discs)


def test_a_finished_corpus_is_left_alone(discs, capsys):
    before = {path: path.stat().st_mtime_ns for path in discs.rglob("*.*") if path.name[0] != "."}
    assert main(["data", "mini", "--out", str(discs), "--nj", "1", *ARGS]) == 0
    printed = capsys.readouterr().out
    assert "finished already" in printed and "nothing about WSJ" in printed and "eval92" in printed
    assert before == {path: path.stat().st_mtime_ns for path in discs.rglob("*.*") if path.name[0] != "."}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--seed", "4"], "seed was 3, now 4"),
        (["--hours", "0.03"], "hours was 0.02, now 0.03"),
        (["--coding", "pcm"], "coding was 'shorten', now 'pcm'"),
        (["--set", *FEW, "snr_low=3"], "snr_low was 18.0, now 3.0"),
    ],
)
def test_other_settings_are_refused(discs, capsys, changed, named):
    assert main(["data", "mini", "--out", str(discs), *ARGS, *changed]) == 1
    assert named in capsys.readouterr().err


def test_a_directory_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["data", "mini", "--out", str(tmp_path), *ARGS]) == 1
    assert "name another directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "wrong",
    ["snr=3", "snr_low", "snr_low=loud", "snr_low=40", "train_speakers=2.5", "train_speakers=1", "test_speakers=99"],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UserError, match="--set"):
        mini.parse_settings([wrong])


@pytest.mark.parametrize("options", [["--hours", "0"], ["--hours", "nan"], ["--nj", "0"], ["--seed", "-1"]])
def test_wrong_options_are_refused(tmp_path, options):
    assert main(["data", "mini", "--out", str(tmp_path / "x"), *options]) == 1
    assert not (tmp_path / "x").exists()


def test_utterance_ids():
    assert utterance_id("011", 36, 0) == "011c1001"
    assert utterance_id("46a", 36, 49) == "46ac1050"
    assert utterance_id("46a", 36, 50) == "46ac1101"
    assert utterance_id("440", 8, 51) == "440c0902"
    assert utterance_id("011", 36, 26 * 50) == "011c1q01"


def test_the_default_plan():
    utterances = plan(2.0, 0, Settings())
    assert len({u.name for u in utterances}) == len(utterances)
    counts = Counter(u.subset for u in utterances)
    assert (counts["dev93"], counts["eval92"], counts["eval93"]) == (120, 400, 40)
    assert 2600 < counts[TRAIN[0]] + counts[TRAIN[1]] < 3000
    seen = {u.speaker.name for u in utterances if u.subset in TRAIN}
    assert len(seen) == 30
    for name, unseen in (("dev93", 4), ("eval92", 8), ("eval93", 2)):
        members = [u for u in utterances if u.subset == name]
        assert sum(u.speaker.name not in seen for u in members) * 2 == len(members)
        assert len({u.speaker.name for u in members} - seen) == unseen
        assert len({u.speaker.voice for u in members} & {u.speaker.voice for u in utterances if u.subset in TRAIN}) > 10
    said = {}
    for u in utterances:
        said.setdefault(u.speaker.name, u.speaker)
        assert said[u.speaker.name] == u.speaker
    assert len({s.voice for s in said.values()}) == len(said) == 44  # 30 + 4 + 8 + 2


@pytest.mark.parametrize("header", [b"", b"NIST_1A\n   1024\n", b"\nsample_count -i many\n", b"\nsample_count -i "])
def test_a_file_without_a_header_has_no_samples(tmp_path, header):
    (tmp_path / "a.wv1").write_bytes(header)
    assert mini.sample_count(tmp_path / "a.wv1") == 0


@pytest.mark.parametrize(
    "content", ["{}", '{"subsets": 5}', '{"subsets": {"a": {}}}', '{"subsets": {"a": {"utterances": []}}}']
)
def test_a_damaged_summary_is_named(tmp_path, content):
    (tmp_path / "corpus.json").write_text(content)
    with pytest.raises(UserError, match=r"corpus\.json: is not what this command writes; remove it"):
        mini.summary_of(tmp_path / "corpus.json")


def test_an_output_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["data", "mini", "--out", str(tmp_path / "file"), *ARGS]) == 1
    assert "this is a file, expected a directory" in capsys.readouterr().err


def test_every_voice_may_speak_and_no_more():
    default = mini.parse_settings([])
    others = default.dev_speakers + default.test_speakers + EVAL93_SPEAKERS
    most = len(VOICES) - others
    assert mini.parse_settings([f"train_speakers={most}"]).train_speakers == most
    with pytest.raises(UserError, match=f"{len(VOICES) + 1} speakers wanted, there are {len(VOICES)} voices"):
        mini.parse_settings([f"train_speakers={most + 1}"])
    least = mini.parse_settings(["train_speakers=2", "dev_speakers=1", "test_speakers=1"])
    assert (least.train_speakers, least.dev_speakers, least.test_speakers) == (2, 1, 1)
