"""`kdasr nbest import`: each form gives the texts, order and scores that it holds, and what is wrong is named."""

import json

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from outside_inputs import (
    TOKENS,
    Place,
    as_espnet,
    as_json_lines,
    as_kaldi,
    as_text,
    as_whisper,
    ids_of,
)
from properties import examples

from kdasr.cli import main
from kdasr.data.lengths import input_frames
from kdasr.data.tokens import load_tokens
from kdasr.errors import UserError
from kdasr.files import read_json, write_table
from kdasr.nbest.archive import read_nbest
from kdasr.nbest.export import read_export

WRITERS = {"kaldi": as_kaldi, "espnet": as_espnet, "jsonl": as_json_lines, "whisper": as_whisper, "text": as_text}
LISTS = {"u1": [("A CAT", -1.5), ("A HAT", -2.25)], "u2": [("DON'T", -0.5)], "u3": [("B", -1.0), ("BEE", -1.0)]}
SINGLE = {key: hyps[:1] for key, hyps in LISTS.items()}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def lists_of(form):
    """LISTS as far as a form can hold them."""
    if form == "text":
        return {key: [(text, 0.0)] for key, [(text, _)] in SINGLE.items()}
    return SINGLE if form == "whisper" else LISTS


@pytest.mark.parametrize("form", WRITERS)
def test_each_form_becomes_an_archive_like_ours(place, form, capsys):
    lists = lists_of(form)
    assert place.imported(form, WRITERS[form](place, lists)) == 0
    said = capsys.readouterr().out
    records = list(read_nbest(place.root / "archive"))
    assert [(one["id"], one["frames"]) for one in records] == [("u1", 100), ("u2", 200), ("u3", 300)]
    assert place.lists() == lists
    assert all(hyp["tokens"] == ids_of(hyp["text"]) for one in records for hyp in one["hyps"])
    assert {hyp["ended"] for one in records for hyp in one["hyps"]} == {"eos"}
    assert place.manifest()["scores"] == {"whisper": "mean", "text": "none"}.get(form, "sum")
    assert place.manifest()["search"]["nbest"] == max(map(len, lists.values()))
    units = sum(len(text) for hyps in lists.values() for text, _ in hyps)
    assert f"0 of {units} units (0.00 %) are unknown to the tokens" in said
    assert main(["nbest", "verify", str(place.root / "archive")]) == 0
    assert place.imported(form, WRITERS[form](place, lists)) == 0
    assert "made already" in capsys.readouterr().out


@pytest.mark.parametrize("form", WRITERS)
def test_what_is_imported_serves_targets_and_rescoring(place, form):
    lists = lists_of(form)
    assert place.imported(form, WRITERS[form](place, lists)) == 0
    archive, tokens, root = str(place.root / "archive"), str(place.root / "char"), place.root
    assert main(["targets", "--nbest", archive, "--tokens", tokens, "--out", str(root / "t"), "--k", "1"]) == 0
    best = "u1 A CAT\nu2 DON'T\nu3 B\n"
    assert (root / "t" / "text").read_text() == best
    assert main(["rescore", "--nbest", archive, "--out", str(root / "r")]) == 0
    assert (root / "r" / "text").read_text() == best


TEXTS = st.lists(st.text("ABC'", min_size=1, max_size=4), max_size=4).map(" ".join)
SCORES = st.floats(-1e4, 1e3)


@st.composite
def drawn(draw, most):
    """Lists of up to `most` different texts an utterance, by falling score."""
    found = {}
    for key in draw(st.sets(st.sampled_from(["u1", "u2", "u3"]), min_size=1)):
        texts = draw(st.lists(TEXTS, min_size=1, max_size=most, unique=True))
        scores = draw(st.lists(SCORES, min_size=len(texts), max_size=len(texts)))
        found[key] = list(zip(texts, sorted(scores, reverse=True), strict=True))
    return found


@examples(25)
@given(st.data(), st.sampled_from(list(WRITERS)))
def test_import_then_export_changes_nothing(tmp_path_factory, data, form):
    place = Place(tmp_path_factory.mktemp("p"))
    lists = data.draw(drawn(1 if form in ("whisper", "text") else 4))
    assert place.imported(form, WRITERS[form](place, lists)) == 0
    assert (
        main(["nbest", "export", "--nbest", str(place.root / "archive"), "--out", str(place.root / "kaldi_out")]) == 0
    )
    exported = read_export(place.root / "kaldi_out")
    if form == "text":
        lists = {key: [(text, 0.0)] for key, [(text, _)] in lists.items()}
    if form == "whisper":  # a mean of one mean
        for hyps in lists.values():
            hyps[0] = (hyps[0][0], pytest.approx(hyps[0][1], rel=1e-12, abs=1e-300))
    assert {key: [(hyp["text"], hyp["score"]) for hyp in hyps] for key, hyps in exported.items()} == lists
    # and what was exported gives the same archive again, to the last bit
    assert place.imported("kaldi", place.root / "kaldi_out", out="again") == 0
    assert list(read_nbest(place.root / "again")) == list(read_nbest(place.root / "archive"))
    assert place.manifest("again")["scores"] == place.manifest()["scores"]


FORMS = ("kaldi", "espnet", "jsonl", "text")


@examples(25)
@given(st.data(), st.sampled_from(FORMS), st.sampled_from([None, "mean"]))
def test_export_then_import_changes_nothing(tmp_path_factory, data, form, kind):
    """Of every form that is written: texts, order (not only that of the scores), scores and what these are."""
    place = Place(tmp_path_factory.mktemp("p"))
    lists = data.draw(drawn(4))
    rows = [
        {"id": key, "text": text, "score": score, "rank": n}
        for key, hyps in lists.items()
        for n, (text, score) in enumerate(data.draw(st.permutations(hyps)), 1)
    ]
    rows = data.draw(st.permutations(rows))
    path = place.file("in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    means = ("--scores", kind) if kind else ()
    assert place.imported("jsonl", path, *means) == 0
    out, tokens = place.root / f"out.{form}", ("--tokens", place.root / "char") if form == "espnet" else ()
    for _ in range(2):  # a second time replaces it
        words = ["nbest", "export", "--nbest", place.root / "archive", "--format", form, "--out", out, *tokens]
        assert main([*map(str, words)]) == 0
    more = means if form in ("espnet", "jsonl") else ()
    assert place.imported(form, out, *more, out="again") == 0
    records = list(read_nbest(place.root / "archive"))
    if form == "text":
        expected = {one["id"]: [(one["hyps"][0]["text"], 0.0)] for one in records}
        assert place.lists("again") == expected and place.manifest("again")["scores"] == "none"
        return
    assert list(read_nbest(place.root / "again")) == records
    first, second = place.manifest(), place.manifest("again")
    assert {key: value for key, value in first.items() if key != "imported"} == {
        key: value for key, value in second.items() if key != "imported"
    }


def test_exports_by_hand(place, capsys):
    assert place.imported("jsonl", as_json_lines(place, LISTS)) == 0
    archive, char = place.root / "archive", place.root / "char"

    def exported(form, name, *more, nbest=archive):
        words = ["nbest", "export", "--nbest", nbest, "--format", form, "--out", place.root / name, *more]
        return main([*map(str, words)])

    assert exported("jsonl", "b.jsonl", "--best", 1) == 0
    assert (place.root / "b.jsonl").read_text() == (
        '{"id": "u1", "text": "A CAT", "score": -1.5, "rank": 1}\n'
        '{"id": "u2", "text": "DON\'T", "score": -0.5, "rank": 1}\n'
        '{"id": "u3", "text": "B", "score": -1.0, "rank": 1}\n'
    )
    assert exported("text", "best") == 0 and (place.root / "best").read_text() == "u1 A CAT\nu2 DON'T\nu3 B\n"
    assert exported("espnet", "lists", "--tokens", char) == 0
    second = {path.name: path.read_text() for path in (place.root / "lists/2best_recog").iterdir()}
    assert second == {
        "text": "u1 A HAT\nu3 BEE\n",
        "token": "u1 A <space> H A T\nu3 B E E\n",
        "token_int": "u1 5 3 12 5 24\nu3 6 9 9\n",
        "score": "u1 tensor(-2.25)\nu3 tensor(-1.0)\n",
    }
    assert sorted(path.name for path in (place.root / "lists").iterdir()) == ["1best_recog", "2best_recog"]
    # without scores nothing stands where they would be
    assert place.imported("text", as_text(place, SINGLE, "plain/text"), out="unscored") == 0
    for form, name, more in (("jsonl", "n.jsonl", ()), ("espnet", "unscored_lists", ("--tokens", char))):
        assert exported(form, name, *more, nbest=place.root / "unscored") == 0
    assert (place.root / "n.jsonl").read_text().startswith('{"id": "u1", "text": "A CAT", "rank": 1}\n')
    kinds = {path.name for path in (place.root / "unscored_lists/1best_recog").iterdir()}
    assert kinds == {"text", "token", "token_int"}
    place.file("lists/mine", "x")
    for form, name, more, said in (
        ("espnet", "new", (), "--format espnet: its table `token` needs the token list; name it (--tokens)"),
        ("espnet", "lists", ("--tokens", char), "lists: holds other things than an export, which would be lost"),
        ("jsonl", "new", ("--tokens", char), "--tokens: --format jsonl has no use for it"),
        ("jsonl", "new", ("--best", -1), "--best -1: expected 0 (all) or more"),
    ):
        assert exported(form, name, *more) == 1
        assert said in capsys.readouterr().err and not (place.root / "new").exists()
    place.file("other/tokens.txt", (char / "tokens.txt").read_text().replace("A\n", "") + "X\n")
    assert exported("espnet", "new", "--tokens", place.root / "other") == 1
    assert "other: is another token list than that of " in capsys.readouterr().err


def test_an_archive_of_our_own_comes_back_with_its_tokens_and_parts(place):
    """Two ways to spell a text, scores of parts, an order that is not by score: as normalize_length orders."""
    hyps = {"u1-1": "A  B", "u1-2": "A B"}
    place.table("export/text", hyps)
    place.table("export/tokens", {"u1-1": "5 3 3 6", "u1-2": "5 3 6"})
    place.table("export/score", {"u1-1": -3.5, "u1-2": -3.0})
    place.table("export/score_ctc", {"u1-1": -2.5})
    archive = {"scores": "sum", "search": {}}
    place.file(
        "export/export.json", json.dumps({"tables": ["text", "tokens", "score", "score_ctc"], "archive": archive})
    )
    assert place.imported("kaldi", place.root / "export") == 0
    [record] = read_nbest(place.root / "archive")
    assert [hyp["tokens"] for hyp in record["hyps"]] == [[5, 3, 3, 6], [5, 3, 6]]
    assert [hyp["scores"] for hyp in record["hyps"]] == [{"ctc": -2.5}, {}]
    assert place.manifest()["search"]["normalize_length"] is True
    # with another token list the text alone counts: both are the same then
    place.table("export/tokens", {"u1-1": "5 3 3 7", "u1-2": "5 3 99"})
    assert place.imported("kaldi", place.root / "export", out="other") == 0
    [record] = read_nbest(place.root / "other")
    assert [hyp["tokens"] for hyp in record["hyps"]] == [[5, 3, 6]] and record["duplicates"] == 1


def test_costs_of_kaldi_are_weighed_as_the_lists_are_ordered(place, capsys):
    place.table("nbest/text", {"u1-1": "A", "u1-2": "B", "u2-1": "C"})
    place.table("nbest/ac_cost", {"u1-1": 100.0, "u1-2": 101.0, "u2-1": 50.0})
    place.table("nbest/lm_cost", {"u1-1": 7.0, "u1-2": 6.95, "u2-1": 3.0})
    assert place.imported("kaldi", place.root / "nbest") == 0  # 1/12 of the difference is above 0.05
    assert "acoustic scale 0.08333" in capsys.readouterr().out
    assert place.lists()["u1"] == [("A", pytest.approx(-(100 / 12 + 7))), ("B", pytest.approx(-(101 / 12 + 6.95)))]
    [first, _] = read_nbest(place.root / "archive")
    assert first["hyps"][0]["scores"] == {"ac": -100.0, "lm": -7.0}
    assert place.imported("kaldi", place.root / "nbest", "--acoustic_scale", 0.5, out="half") == 0
    assert place.lists("half")["u2"] == [("C", -28.0)]


def test_the_files_of_kaldis_rescoring_script(place):
    place.table("lm/words_text", {"u1-1": "A", "u1-2": "B"})
    place.table("lm/acwt", {"u1-1": 12.0, "u1-2": 24.0})
    place.table("lm/lmwt.nolm", {"u1-1": 1.0, "u1-2": 1.0})
    place.table("lm/lmwt.lmonly", {"u1-1": 2.0, "u1-2": 2.5})
    assert place.imported("kaldi", place.root / "lm", "--acoustic_scale", 0.25) == 0
    assert place.lists() == {"u1": [("A", -6.0), ("B", -9.5)]}
    [record] = read_nbest(place.root / "archive")
    assert record["hyps"][0]["scores"] == {"acwt": -12.0, "lmwt.nolm": -1.0, "lmwt.lmonly": -2.0}


def test_segments_are_joined_and_their_means_weighed_by_tokens(place):
    segments = [
        {"text": " Hello", "avg_logprob": -0.5, "tokens": [1, 2, 3]},
        {"text": " there.", "avg_logprob": -0.1, "tokens": [4]},
    ]
    place.file("all.json", json.dumps({"u1": {"segments": segments}, "u2": segments, "u3": {"segments": []}}))
    assert place.imported("whisper", place.root / "all.json", "--normalize", "case,punctuation") == 0
    mean = pytest.approx((-0.5 * 4 - 0.1 * 2) / 6)
    assert place.lists() == {"u1": [("HELLO THERE", mean)], "u2": [("HELLO THERE", mean)], "u3": [("", 0.0)]}
    for one in segments:  # words count where the file has no tokens: whisperX
        del one["tokens"]
    place.file("lines.jsonl", json.dumps({"id": "u1", "segments": [{"text": "A B C", "avg_logprob": -1}, segments[1]]}))
    assert place.imported("whisper", place.root / "lines.jsonl", "--normalize", "case,punctuation", out="x") == 0
    assert place.lists("x") == {"u1": [("A B C THERE", pytest.approx((-4 - 0.1 * 2) / 6))]}
    place.file("plain/u2.json", json.dumps({"text": " A  B "}))
    assert place.imported("whisper", place.root / "plain", out="y") == 0
    assert place.lists("y") == {"u2": [("A B", 0.0)]} and place.manifest("y")["scores"] == "none"


def test_several_results_of_whisper_are_an_nbest_list(place):
    """In one file, as lines of an id, or in a file of each run; ordered by score, best first."""
    one, two = {"text": " A", "avg_logprob": -2.0}, {"segments": [{"text": "B", "avg_logprob": -1.0}]}
    expected = {"u1": [("B", -1.0), ("A", -2.0)]}
    whole = {"segments": [{"text": "A", "avg_logprob": -2.0}], "language": "en"}
    for name, value in (
        ("one/u1.json", {"hypotheses": [one, two]}),
        ("two/u1.json", [whole, two]),
        ("three.json", {"u1": {"hypotheses": [one, two]}}),
        ("four.json", {"u1": [whole, two]}),
    ):
        path = place.file(name, json.dumps(value))
        source = path.parent if name.endswith("u1.json") else path
        assert place.imported("whisper", source, out=f"a_{name[:3]}") == 0
        assert place.lists(f"a_{name[:3]}") == expected
        assert place.manifest(f"a_{name[:3]}")["scores"] == "mean"
    lines = place.file("lines.jsonl", "".join(json.dumps({"id": "u1", **part}) + "\n" for part in (one, two)))
    assert place.imported("whisper", lines, out="lines") == 0 and place.lists("lines") == expected
    runs = [place.file(f"run{n}/u1.json", json.dumps(part)).parent for n, part in enumerate((one, two))]
    assert place.imported("whisper", runs, out="runs") == 0 and place.lists("runs") == expected
    # segments in a list are those of one result; without scores results stay in their order
    plain = place.file("plain.json", json.dumps({"u1": [{"text": "A"}, {"text": "B"}], "u2": {"hypotheses": [one]}}))
    assert place.imported("whisper", plain, out="no") == 1
    plain.write_text(json.dumps({"u1": [{"text": "A"}, {"text": "B"}], "u2": {"hypotheses": [{"text": "C"}] * 2}}))
    assert place.imported("whisper", plain, out="plain") == 0
    assert place.lists("plain") == {"u1": [("A B", 0.0)], "u2": [("C", 0.0)]}


def test_copies_at_other_speeds_take_what_the_original_has(place, capsys):
    place.lengths(**{"u1": 100, "sp0.9-u1": 111, "sp1.1-u1": 91, "sp1.1-u2": 80})
    lines = as_json_lines(place, {"u1": [("A", -1.0), ("B", -2.0)], "sp1.1-u1": [("C", -3.0)]})
    assert place.imported("jsonl", lines) == 0
    both = [("A", -1.0), ("B", -2.0)]
    assert place.lists() == {"sp0.9-u1": both, "sp1.1-u1": [("C", -3.0)], "u1": both}
    assert {one["id"]: one["frames"] for one in read_nbest(place.root / "archive")}["sp0.9-u1"] == 111
    said = capsys.readouterr().out
    assert "  1 utterances are copies at other speeds and took the hypotheses of the original, as sp0.9-u1\n" in said
    assert f"  1 utterances of {place.root}/data have no hypothesis and were left out, as sp1.1-u2\n" in said


def test_ranks_of_json_lines_go_before_scores(place):
    rows = [{"text": "A", "score": -1, "rank": 2}, {"text": "B", "score": -3, "rank": 1}]
    path = place.file("r.jsonl", "".join(json.dumps({"id": "u1", **row}) + "\n" for row in rows))
    assert place.imported("jsonl", path) == 0
    assert place.lists() == {"u1": [("B", -3.0), ("A", -1.0)]}
    assert place.manifest()["search"]["normalize_length"] is True
    path.write_text(path.read_text().replace('"rank": 1', '"rank": "first"'))
    assert place.imported("jsonl", path, out="x") == 1


def test_whisper_names_results_as_the_audio(place, capsys):
    write_table(place.root / "data" / "wav.scp", {"u1": "/x/call1.wav", "u2": "/x/call2.flac"})
    for name in ("call1", "u2", "call9"):
        place.file(f"json/{name}.json", json.dumps({"segments": [{"text": "A", "avg_logprob": -1.0}]}))
    assert place.imported("whisper", place.root / "json") == 0
    assert list(place.lists()) == ["u1", "u2"]
    said = capsys.readouterr().out
    assert f"  1 utterances of {place.root}/data have no hypothesis and were left out, as u3\n" in said
    assert f"  1 utterances are not in {place.root}/data and were left out, as call9\n" in said


def test_nothing_is_normalised_unless_asked(place, capsys):
    """The units that the tokens do not know are counted and shown; above a share they are refused."""
    text = place.file("text", "u1 Hello, you\nu2 OK\n")
    assert place.imported("text", text) == 1
    told = (
        "8 of 12 units (66.67 %) are unknown to the tokens: 'l' 2 times, 'o' 2 times, 'e' 1 times, ',' 1 times, 'y' 1"
    )
    error = capsys.readouterr().err
    assert told in error and "as in u1: Hello, you; normalise the texts (--normalize), or allow more" in error
    assert "(--max_unknown 67)" in error and not (place.root / "archive").exists()
    assert place.imported("text", text, "--max_unknown", 67) == 0
    assert f"  {told} times and 1 others, as in u1: Hello, you\n" in capsys.readouterr().out
    assert place.lists() == {"u1": [("Hello, you", 0.0)], "u2": [("OK", 0.0)]}
    assert place.imported("text", text, "--normalize", "case", "--max_unknown", 9, out="c") == 0
    assert place.lists("c")["u1"] == [("HELLO, YOU", 0.0)]
    assert place.imported("text", text, "--normalize", "case,punctuation", "--max_unknown", 0, out="n") == 0
    assert place.lists("n")["u1"] == [("HELLO YOU", 0.0)]


def test_texts_that_become_the_same_are_merged_into_the_best(place, capsys):
    lines = as_json_lines(place, {"u1": [("it's", -1.0), ("It's", -2.0), ("ITS", -3.0)]})
    assert place.imported("jsonl", lines, "--normalize", "case") == 0
    [record] = read_nbest(place.root / "archive")
    assert place.lists() == {"u1": [("IT'S", -1.0), ("ITS", -3.0)]} and record["duplicates"] == 1
    assert "1 hypotheses of the same text as a better one were merged with it" in capsys.readouterr().out


def test_json_lines_are_ordered_by_score(place):
    lines = as_json_lines(place, {"u1": [("A", -3.0), ("B", -1.0), ("C", -2.0)]})
    assert place.imported("jsonl", lines, "--scores", "mean") == 0
    assert place.lists() == {"u1": [("B", -1.0), ("C", -2.0), ("A", -3.0)]}
    assert place.manifest()["scores"] == "mean"
    plain = place.file("plain.jsonl", '{"id": "u1", "text": "A", "other": 1}\n\n{"id": "u1", "text": "B"}\n')
    assert place.imported("jsonl", plain, out="plain") == 0
    assert place.lists("plain") == {"u1": [("A", 0.0), ("B", 0.0)]} and place.manifest("plain")["scores"] == "none"


def test_sentencepieces_of_espnet_stay_as_they_were_cut(place):
    """The table `token` counts where it spells the text in our list; else the text is encoded."""
    place.table("espnet/text", {"u1": "A <NOISE>", "u2": "AB", "u3": "AB"})
    place.table("espnet/token", {"u1": "A <space> <NOISE>", "u2": "A X", "u3": "AB"})
    assert place.imported("espnet", place.root / "espnet") == 0
    a, b, noise = TOKENS.index("A"), TOKENS.index("B"), TOKENS.index("<NOISE>")
    found = {one["id"]: one["hyps"][0]["tokens"] for one in read_nbest(place.root / "archive")}
    assert found == {"u1": [a, TOKENS.index("<space>"), noise], "u2": [a, b], "u3": [a, b]}


@pytest.mark.parametrize("form", ["kaldi", "espnet"])
def test_the_tenth_stands_behind_the_second(place, form):
    many = {"u1": [(letter, -float(n)) for n, letter in enumerate("ABCDEFGHIJKLM")]}
    assert place.imported(form, WRITERS[form](place, many)) == 0
    assert place.lists() == many


def test_ids_of_a_file_count_for_its_own_text_alone(tmp_path):
    """What is normalised is encoded again, whatever ids the file has."""
    tokens = [*TOKENS[:-1], "7", TOKENS[-1]]
    place = Place(tmp_path, tokens)
    place.table("espnet/text", {"u1": "A 7"})
    place.table("espnet/token", {"u1": "A <space> 7"})
    assert place.imported("espnet", place.root / "espnet", "--normalize", "digits,case") == 0
    [record] = read_nbest(place.root / "archive")
    assert record["hyps"][0]["text"] == "A SEVEN"
    assert record["hyps"][0]["tokens"] == ids_of("A SEVEN", tokens)


def test_sentencepieces(place):
    """Units are pieces; ESPnet's own way to cut a word is kept, other texts are cut as the model cuts them."""
    text = place.file("corpus", "".join(f"c{n} {word}\n" for n, word in enumerate(["the cat sat on the mat"] * 20)))
    out = place.root / "bpe"
    assert main(["tokens", "--text", str(text), "--type", "bpe", "--vocab", "18", "--out", str(out)]) == 0
    tokens = load_tokens(out)
    (place.root / "char").rename(place.root / "old")
    out.rename(place.root / "char")
    letters = ["\u2581", *"cat"]
    place.table("espnet/text", {"u1": "cat", "u2": "the cat"})
    place.table("espnet/token", {"u1": " ".join(letters), "u2": "x"})
    assert place.imported("espnet", place.root / "espnet") == 0
    found = {one["id"]: one["hyps"][0]["tokens"] for one in read_nbest(place.root / "archive")}
    assert found == {"u1": [tokens.ids[letter] for letter in letters], "u2": tokens.encode("the cat")}
    assert len(tokens.encode("cat")) < len(letters)
    assert place.imported("text", place.file("text", "u1 the Cat\n"), "--normalize", "case", out="x") == 0
    assert place.lists("x") == {"u1": [("the cat", 0.0)]}


def test_the_end_that_espnet_spells_is_no_text(place):
    """Lines as stock asr_inference wrote them; of a hypothesis that was cut off the end is in the text."""
    place.table("espnet/1best_recog/text", {"u1": "BG <sos/eos>", "u2": "KL<unk>"})
    place.table("espnet/1best_recog/token", {"u1": "B G <space> <sos/eos>", "u2": "K L <unk>"})
    place.table("espnet/1best_recog/score", {"u1": "tensor(-19.8709)", "u2": "tensor(-20.4005, device='cuda:0')"})
    assert place.imported("espnet", place.root / "espnet", "--max_unknown", 20) == 0
    assert place.lists() == {"u1": [("BG", -19.8709)], "u2": [("KL<unk>", -20.4005)]}
    first, second = (one["hyps"][0]["tokens"] for one in read_nbest(place.root / "archive"))
    assert first == ids_of("BG ") and second == [*ids_of("KL"), 1]


def test_words_are_counted_where_there_are_transcripts(place, capsys):
    write_table(place.root / "data" / "text", {"u1": "A HAT", "u2": "DON'T", "u3": "B"})
    assert place.imported("jsonl", as_json_lines(place, LISTS)) == 0
    assert "  WER of the 1-best 25.00 %, best of 2 0.00 %\n" in capsys.readouterr().out
    assert read_json(place.root / "archive" / "summary.json")["words"]["errors"] == [1, 0]


BAD = [
    ("text", "u1 A\nu1 B\n", "text:2: u1 is here a second time"),
    ("text", "v1 A\n", "holds no utterance of "),
    ("jsonl", '{"id": "u1", "text": "A"}\nnothing\n', "jsonl:2: is no JSON object, found 'nothing'"),
    ("jsonl", "[1]\n", "jsonl:1: is no JSON object"),
    ("jsonl", '{"id": 5, "text": "A"}\n', 'jsonl:1: has no "id" or no "text"'),
    ("jsonl", '{"id": "u1", "hyp": "A"}\n', 'jsonl:1: has no "id" or no "text"'),
    ("jsonl", '{"id": "u1", "text": "A", "score": NaN}\n', "jsonl:1: u1 has the score 'nan', expected a number"),
    ("jsonl", '{"id": "u1", "text": "A", "score": true}\n', "jsonl:1: u1 has the score 'True'"),
    ("jsonl", '{"id": "u1", "text": "A", "score": 1e999}\n', "jsonl:1: u1 has the score 'inf'"),
    (
        "jsonl",
        '{"id": "u1", "text": "A", "score": -1}\n{"id": "u2", "text": "B"}\n',
        "u2: 'B' has no score, others have one",
    ),
    ("whisper", "{", "whisper:1: is not JSON"),
    ("whisper", '{"u1": {"segment": []}}', 'whisper: u1 has no segments with a "text" each'),
    ("whisper", '{"u1": 5}', "whisper: u1 has no segments"),
    ("whisper", '{"u1": [{"text": "A", "avg_logprob": "x"}]}', "whisper: u1 has the score 'x', expected a number"),
    ("whisper", '{"u1": [{"text": "A", "avg_logprob": -1}, {"text": "B"}]}', "whisper: u1 has the score 'None'"),
    ("espnet", "", "espnet: has no 1best_recog with a text below it"),
    ("kaldi", "", "kaldi: is no directory with text, words_text or export.json"),
]


@pytest.mark.parametrize(("form", "content", "said"), BAD)
def test_a_malformed_file_is_named(place, capsys, form, content, said):
    assert place.imported(form, place.file(form, content)) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (place.root / "archive").exists()


@pytest.mark.parametrize(
    ("form", "tables", "said"),
    [
        ("kaldi", {"text": {"u1": "A"}}, "text: u1 is not of the form UTTERANCE-n"),
        ("kaldi", {"text": {"u1-1": "A"}, "score": {"u1-2": -1}}, "score: u1-1 is not in both this file and text"),
        ("kaldi", {"text": {"u1-1": "A"}, "score": {"u1-1": "x"}}, "score: u1-1 has the score 'x', expected a number"),
        ("kaldi", {"text": {"u1-1": "A"}, "ac_cost": {"u1-1": 1}}, "expected ac_cost and lm_cost together"),
        ("kaldi", {"nbest/text": {"u1-1": "A"}}, "in: is no directory with text, words_text or export.json"),
        ("kaldi", {"words_text": {"u1-1": "A"}}, "in: expected acwt, and lmwt.nolm or lmwt.withlm"),
        ("espnet", {"text": {"u1": "A", "u2": "B"}, "score": {"u1": -1}}, "score: lacks u2, which text has"),
        ("espnet", {"text": {"u1": "A"}, "score": {"u1": "tensor(x)"}}, "score: u1 has the score 'x'"),
        (
            "espnet",
            {"output.1/1best_recog/text": {"u1": "A"}, "output.2/1best_recog/text": {"u1": "B"}},
            "output.2/1best_recog: u1 is in another directory of 1-bests, too",
        ),
    ],
)
def test_tables_that_do_not_fit_are_named(place, capsys, form, tables, said):
    for name, rows in tables.items():
        place.table(f"in/{name}", rows)
    assert place.imported(form, place.root / "in") == 1
    assert said in capsys.readouterr().err


def test_options_that_cannot_be(place, capsys):
    text = as_text(place, SINGLE)
    for more, said in (
        (("--max_unknown", 101), "--max_unknown 101.0: expected a share of 0 to 100 percent"),
        (("--max_unknown", "nan"), "--max_unknown nan"),
        (("--scores", "sum"), "--scores: a text has none"),
        (("--acoustic_scale", 0.1), "--acoustic_scale 0.1: expected a number above 0, with --format kaldi alone"),
        (("--normalize", "casing"), "--normalize casing: 'casing' is none of"),
    ):
        assert place.imported("text", text, *more) == 1
        assert said in capsys.readouterr().err


def test_other_things_stay(place, capsys):
    text = as_text(place, SINGLE)
    (place.root / "archive").mkdir()
    assert place.imported("text", text) == 0  # empty: nothing is lost
    assert place.imported("text", place.file("other", "u1 B\n")) == 1
    assert "archive: holds something else, or other hypotheses; remove it" in capsys.readouterr().err
    assert place.lists()["u1"] == [("A CAT", 0.0)]
    assert place.imported("text", text, out="char") == 1
    assert "char: holds something else" in capsys.readouterr().err
    assert place.imported("text", [text, place.file("more", "u1 B\n")], out="new") == 1
    assert "more: u1 is in another of the files (--in), too" in capsys.readouterr().err


def test_lengths_come_from_what_a_data_directory_has(tmp_path):
    with pytest.raises(UserError, match=r"has no utt2num_frames, utt2dur or wav\.scp; name a data directory"):
        input_frames(tmp_path)
    soundfile.write(tmp_path / "r.wav", np.zeros(12000, dtype=np.int16), 8000)
    write_table(tmp_path / "wav.scp", {"r": str(tmp_path / "r.wav")})
    assert input_frames(tmp_path) == {"r": 150}
    write_table(tmp_path / "segments", {"r-1": "r 0.25 0.75", "r-2": "r 0.5 -1"})
    assert input_frames(tmp_path) == {"r-1": 50, "r-2": 100}
    write_table(tmp_path / "utt2dur", {"r-1": "0.514"})
    assert input_frames(tmp_path) == {"r-1": 51}
    write_table(tmp_path / "utt2num_frames", {"r-1": "49"})
    assert input_frames(tmp_path) == {"r-1": 49}
