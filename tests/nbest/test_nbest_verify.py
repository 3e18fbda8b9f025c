"""`kdasr nbest verify` finds any damage; `kdasr nbest export` writes what can be read back; the identity check."""

import json
import shutil

import pytest
from nbest_models import LENGTHS, files, models, nbest, write_data, write_model

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import read_json, read_table, write_json
from kdasr.nbest import archive, write
from kdasr.nbest.export import read_export
from kdasr.nbest.verify import verify
from kdasr.processor import has_bf16


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("verify")
    write_model(root / "model")
    write_data(root / "data", models.features(LENGTHS))
    assert nbest(root, root / "out") == 0
    return root


@pytest.fixture
def copy(place, tmp_path):
    """An archive to be damaged."""
    shutil.copytree(place / "out", tmp_path / "out")
    return tmp_path / "out"


def test_a_whole_archive_gets_a_line(copy, capsys):
    assert main(["nbest", "verify", str(copy)]) == 0
    summary = read_json(copy / "summary.json")
    assert capsys.readouterr().out == (
        f"{copy}: whole: 7 utterances, {summary['hypotheses']} hypotheses, {summary['tokens']} tokens in 4 shards\n"
    )


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def edit(path):
    data = bytearray(path.read_bytes())
    place = data.index(b'"score"', len(data) * 3 // 4) + 11
    data[place] ^= 1
    path.write_bytes(bytes(data))


DAMAGE = {
    "nothing there": (lambda out: shutil.rmtree(out), "no N-best archive (manifest.json is missing)"),
    "no shard": (
        lambda out: archive.shard_path(out, 1).unlink(),
        "1 of 4 shards are missing, the first is nbest.1.jsonl",
    ),
    "cut": (lambda out: cut(archive.shard_path(out, 2)), "nbest.2.jsonl:2: 1 whole records, expected 2"),
    "empty": (lambda out: archive.shard_path(out, 3).write_bytes(b""), "nbest.3.jsonl:1: 0 whole records, expected 1"),
    "edited": (lambda out: edit(archive.shard_path(out, 1)), "nbest.1.jsonl:2: was changed after it was written"),
    "exchanged": (
        lambda out: shutil.copy(out / "nbest.0.jsonl", out / "nbest.1.jsonl"),
        "nbest.1.jsonl:1: was changed after it was written",
    ),
    "one too many": (
        lambda out: shutil.copy(out / "nbest.0.jsonl", out / "nbest.4.jsonl"),
        "nbest.4.jsonl: is none of the 4 shards; remove it",
    ),
    "unfinished": (lambda out: (out / "summary.json").unlink(), "is not finished (summary.json is missing)"),
    "no stats": (lambda out: (out / "stats.1.json").unlink(), "stats.1.json: no such file"),
    "stats cut": (lambda out: cut(out / "stats.1.json"), "stats.1.json:"),
    "stats of nothing": (lambda out: (out / "stats.1.json").write_text("{}"), "stats.1.json: is not whole"),
    "manifest cut": (lambda out: cut(out / "manifest.json"), "manifest.json:"),
    "manifest emptied": (lambda out: (out / "manifest.json").write_text("{}"), "is not an N-best archive's manifest"),
    "no report": (lambda out: (out / "report.json").unlink(), "report.json: no such file"),
    "miscounted": (
        lambda out: write_json(out / "summary.json", {**read_json(out / "summary.json"), "tokens": 5}),
        "summary.json: tokens 5, the shards have",
    ),
    "other keys": (
        lambda out: write_json(out / "manifest.json", {**read_json(out / "manifest.json"), "keys": "0"}),
        "manifest.json: was changed after the archive was checked",
    ),
    "another model": (
        lambda out: write_json(out / "manifest.json", {**read_json(out / "manifest.json"), "model": "0" * 16}),
        "manifest.json: was changed after the archive was checked",
    ),
    "another beam": (
        lambda out: write_json(
            out / "manifest.json",
            {**(there := read_json(out / "manifest.json")), "search": {**there["search"], "beam": 999}},
        ),
        "manifest.json: was changed after the archive was checked",
    ),
    "other keys, of an older archive": (
        lambda out: (
            write_json(out / "manifest.json", {**read_json(out / "manifest.json"), "keys": "0"}),
            write_json(
                out / "summary.json", {k: v for k, v in read_json(out / "summary.json").items() if k != "manifest"}
            ),
        ),
        "holds other utterances than its manifest says",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_one_sentence_that_names_it(copy, capsys, what):
    damage, said = DAMAGE[what]
    damage(copy)
    assert main(["nbest", "verify", str(copy)]) == 1
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and shown.out == ""


def test_every_bit_of_a_shard_counts(copy):
    path = archive.shard_path(copy, 0)
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"nbest.0.jsonl:[12]: "):
            verify(copy)
    path.write_bytes(whole)
    verify(copy)


def test_what_was_damaged_is_made_again(place, copy):
    """As each sentence advises: remove the file, and run again."""
    edit(archive.shard_path(copy, 1))
    archive.shard_path(copy, 1).unlink()
    assert nbest(place, copy) == 0
    verify(copy)
    assert files(copy) == files(place / "out")


def test_export_is_read_back(place, tmp_path, capsys):
    out = tmp_path / "kaldi"
    assert main(["nbest", "export", "--nbest", str(place / "out"), "--out", str(out)]) == 0
    records = list(archive.read_nbest(place / "out"))
    back = read_export(out)
    assert sorted(back) == sorted(record["id"] for record in records)
    for record in records:
        expected = [{key: hyp[key] for key in ("tokens", "text", "score", "scores")} for hyp in record["hyps"]]
        for hyp in expected:
            hyp["text"] = hyp["text"].strip()
        assert back[record["id"]] == expected
    names = ("text", "tokens", "score", "score_decoder", "score_ctc")
    assert {path.name for path in out.iterdir()} == {*names, "export.json"}
    for name in names:
        keys = [line.split(" ")[0] for line in (out / name).read_text().splitlines()]
        assert keys == sorted(keys, key=str.encode)
    first = records[0]["hyps"][0]
    assert read_table(out / "score_ctc")["utt0-1"] == repr(first["scores"]["ctc"])
    assert main(["nbest", "export", "--nbest", str(place / "out"), "--out", str(out), "--best", "1"]) == 0
    assert [len(hyps) for hyps in read_export(out).values()] == [1] * 7


def test_export_of_many_and_of_nothing(tmp_path):
    """utt-10 stands before utt-2 in the files and after it when read back; what has no text has its key."""
    hyps = [
        {"tokens": [k], "text": "ab"[:k] * k, "score": -1.0 - k, "scores": {"decoder": -1e10 - k}, "ended": "eos"}
        for k in range(12)
    ]
    nothing = {"tokens": [], "text": "", "score": 0.0, "scores": {}, "ended": "too short"}
    records = [
        {"id": "a-1", "frames": 9, "hyps": hyps, "duplicates": 0, "stop": "maxlen"},
        {"id": "b", "frames": 0, "hyps": [nothing], "duplicates": 0, "stop": "too short"},
    ]
    manifest = {"keys": archive.keys_digest(["a-1", "b"]), "utterances": 2, "shards": 1, "shard_size": 2}
    write_json(tmp_path / "out" / "manifest.json", {**manifest, "search": {"nbest": 12, "normalize_length": False}})
    stats = dict.fromkeys(archive.STATS, 1.0)
    archive.write_shard(tmp_path / "out", 0, records, stats)
    assert main(["nbest", "export", "--nbest", str(tmp_path / "out"), "--out", str(tmp_path / "kaldi")]) == 0
    keys = [line.split(" ")[0] for line in (tmp_path / "kaldi" / "tokens").read_text().splitlines()]
    assert keys[:3] == ["a-1-1", "a-1-10", "a-1-11"] and keys[-1] == "b-1"
    back = read_export(tmp_path / "kaldi")
    assert [hyp["tokens"] for hyp in back["a-1"]] == [[k] for k in range(12)]
    assert [hyp["scores"]["decoder"] for hyp in back["a-1"]] == [-1e10 - k for k in range(12)]
    assert back["b"] == [{key: nothing[key] for key in ("tokens", "text", "score", "scores")}]


def test_export_replaces_nothing_but_an_export(place, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("precious")
    assert main(["nbest", "export", "--nbest", str(place / "out"), "--out", str(tmp_path / "mine")]) == 1
    assert "holds other things than an export, which would be lost" in capsys.readouterr().err
    assert (tmp_path / "mine" / "text").read_text() == "precious"
    assert main(["nbest", "export", "--nbest", str(tmp_path), "--out", str(tmp_path / "new")]) == 1
    assert "no N-best archive" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_identity_is_checked_on_request_at_the_end_or_afterwards(place, tmp_path, capsys):
    out = tmp_path / "out"
    assert nbest(place, out, "--check_single", 3) == 0
    shown = capsys.readouterr().out
    assert "identity    3 of 3 utterances decoded alone give the same list (100.0 %)" in shown
    checked = read_json(out / "report.json")["check_single"]
    assert (checked["rate"], checked["different"]) == (1.0, [])
    assert checked["largest_score_difference"] < 1e-4
    # A list that no search has found, in an archive that is otherwise in order:
    records = list(archive.read_nbest(out))
    records[2]["hyps"][0]["text"] = "something else"
    archive.write_shard(out, 1, records[2:4], read_json(out / "stats.1.json"))
    archive.summarise(out)
    assert nbest(place, out, "--check_single", 99) == 0
    shown = capsys.readouterr().out
    assert "6 of 7 utterances decoded alone" in shown
    assert "WARNING: 1 LISTS DIFFER from those of the utterances decoded alone, as utt2" in shown
    assert read_json(out / "report.json")["check_single"]["different"] == ["utt2"]
    assert nbest(place, out, "--check_single", 1, "--job", "1/2") == 1
    assert "give it with --merge, or afterwards" in capsys.readouterr().err


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bfloat16 arithmetic")
def test_lists_of_bfloat16_are_compared_with_those_of_float32(place, tmp_path, capsys, monkeypatch):
    seen = []
    plain = write.load_engine
    monkeypatch.setattr(write, "load_engine", lambda *given: seen.append(given[2].bf16) or plain(*given))
    out = tmp_path / "out"
    assert nbest(place, out, "--bf16", "--check_single", 9) == 0
    assert seen[-1] is False and set(seen[:-1]) == {True}
    checked = read_json(out / "report.json")["check_single"]
    assert checked["largest_score_difference"] > 1e-5  # another arithmetic
    assert read_json(out / "manifest.json")["bf16"] is True and "bf16" not in read_json(place / "out/manifest.json")
    assert nbest(place, out) == 1
    assert "bf16" in capsys.readouterr().err
    words = ["decode", "--model", place / "model", "--data", place / "data", "--out", tmp_path / "decoded", "--bf16"]
    assert main([str(word) for word in words]) == 0
    assert read_json(tmp_path / "decoded/decode.json")["bf16"] is True


def test_bfloat16_is_refused_where_it_is_not(place, tmp_path, capsys, monkeypatch):
    assert nbest(place, tmp_path / "out", "--bf16", "--ngpu", 1) == 1
    assert "--bf16: is for a CPU; leave out --ngpu, or --bf16" in capsys.readouterr().err
    monkeypatch.setattr("kdasr.search.engine.has_bf16", lambda: False)
    assert nbest(place, tmp_path / "out", "--bf16") == 1
    assert "--bf16: this processor has no bfloat16 arithmetic; leave it out" in capsys.readouterr().err
    assert nbest(place, tmp_path / "out") == 0  # nothing was begun


def test_the_report_says_where_the_time_went(place):
    report = read_json(place / "out" / "report.json")
    assert set(report["shares"]) == {"encoder", "decoder", "ctc", "rest"}
    assert sum(report["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert 0 < report["grid_fill"] <= 1
    stats = [json.loads((place / "out" / f"stats.{shard}.json").read_text()) for shard in range(4)]
    assert report["peak_bytes"] == max(one["peak_bytes"] for one in stats) > 10**7
    assert report["rtfx"] == pytest.approx(sum(LENGTHS) / 100 / report["wall_seconds"], abs=0.01)


def test_export_takes_as_many_as_asked_for_and_every_digit(tmp_path):
    hyps = [
        {"tokens": [k], "text": "abc"[k], "score": -1.23456789 - k, "scores": {"ctc": -0.987654321 - k}, "ended": "eos"}
        for k in range(3)
    ]
    records = [{"id": "u", "frames": 9, "hyps": hyps, "duplicates": 0, "stop": "maxlen"}]
    manifest = {"keys": archive.keys_digest(["u"]), "utterances": 1, "shards": 1, "shard_size": 1}
    write_json(tmp_path / "out" / "manifest.json", {**manifest, "search": {"nbest": 3, "normalize_length": False}})
    archive.write_shard(tmp_path / "out", 0, records, dict.fromkeys(archive.STATS, 1.0))
    for best in range(5):
        words = [
            "nbest",
            "export",
            "--nbest",
            str(tmp_path / "out"),
            "--out",
            str(tmp_path / "kaldi"),
            "--best",
            str(best),
        ]
        assert main(words) == 0
        back = read_export(tmp_path / "kaldi")["u"]
        assert (
            back == [{key: hyp[key] for key in ("tokens", "text", "score", "scores")} for hyp in hyps][: best or None]
        )
        about = read_json(tmp_path / "kaldi" / "export.json")
        assert (about["utterances"], about["hypotheses"]) == (1, min(best or 3, 3))


def test_every_figure_of_the_summary_is_compared_with_the_shards(copy):
    kept = read_json(copy / "summary.json")
    counted = archive.counts(archive.read_nbest(copy))
    assert {"utterances", "hypotheses", "tokens", "ended", "stopped"} < counted.keys()
    for name, value in counted.items():
        assert kept[name] == value
        other = value + 1 if isinstance(value, int) else {**value, "eos": 12345}
        write_json(copy / "summary.json", {**kept, name: other})
        with pytest.raises(UserError, match=rf"summary\.json: {name} .*, the shards have "):
            verify(copy)
    write_json(copy / "summary.json", kept)
    verify(copy)
