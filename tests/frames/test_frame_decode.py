"""`kdasr frames decode` on predictions made from labels: words, weights, tuning, processes, and what is refused."""

import dataclasses
import shutil
import subprocess
import sys

import commands
import numpy as np
import pytest

from kdasr.errors import UserError
from kdasr.files import read_json, read_table, write_json, write_table
from kdasr.frames import decode
from kdasr.frames.data import load
from kdasr.frames.grams import count
from kdasr.frames.states import build, label
from kdasr.frames.viterbi import Weights
from kdasr.frames.viterbi import build as build_graph
from kdasr.frames.weights import describe, given_weights, references, tune
from kdasr.frames.words import decode_all, decode_some, spell
from kdasr.score.rules import Rules
from kdasr.shards import digest

WORDS = ["ace", "bad", "cab", "dab", "fed"]
SPACE = "<space>"


def call(*words):
    commands.run("frames decode", *words)


def put_frames(directory, sequences, states, counts=None, skipped=()):
    """A directory as `kdasr frames data` leaves it, a spike every 5 frames and 3 of silence on both sides; labels."""
    rows = {}
    for name, tokens in sequences.items():
        spikes = [(5 + 5 * place, token) for place, token in enumerate(tokens)]
        rows[name] = label(spikes, 6 + 5 * len(tokens), states, 2)
    labels = np.concatenate(list(rows.values()))
    directory.mkdir()
    np.save(directory / "features.npy", np.zeros((len(labels), 1), np.float16))
    np.save(directory / "starts.npy", np.arange(len(labels)))
    np.save(directory / "labels.npy", labels.astype(np.int16))
    write_table(directory / "utterances", {name: str(len(row)) for name, row in rows.items()})
    write_table(directory / "tokens", {name: " ".join(tokens) for name, tokens in sequences.items()})
    own = np.bincount(labels, minlength=len(states)).tolist()
    about = {"states": states.to_dict(), "counts": counts or own, "left": 0, "right": 0, "alignment": directory.name}
    write_json(directory / "frames.json", {**about, "skipped": list(skipped)})
    return labels, about["counts"]


def put_predictions(directory, data, labels, classes, noise, seed):
    """What `kdasr frames predict` would leave, of random numbers, the label's larger by 3."""
    generator = np.random.default_rng(seed)
    logits = noise * generator.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += 3.0
    directory.mkdir()
    np.save(directory / "log_probs.npy", (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float16))
    of_data = digest(data / "frames.json")
    write_json(directory / "settings.json", {"seed": seed, "data": of_data})
    write_json(directory / "predict.json", {"data": data.name, "of_data": of_data})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A training set, and two sets with predictions: one easy, one noisy; and texts of them."""
    root, generator = tmp_path_factory.mktemp("decode"), np.random.default_rng(0)

    def draw(prefix, count):
        texts = {f"{prefix}{k:02}": " ".join(generator.choice(WORDS, generator.integers(1, 5))) for k in range(count)}
        return texts, {name: [SPACE if one == " " else one for one in text] for name, text in texts.items()}

    sequences = draw("t", 60)[1]
    states = build(sequences.values(), 3, 40)
    _, counts = put_frames(root / "train", sequences, states)
    for name, size, noise in (("easy", 45, 0.5), ("noisy", 24, 3.0)):
        texts, sequences = draw(name, size)
        write_table(root / f"{name}.text", texts)
        labels, _ = put_frames(root / name, sequences, states, counts)
        put_predictions(root / f"predict_{name}", root / name, labels, len(states), noise, size)
    return root


def options(root, name, out):
    return ["--predictions", root / f"predict_{name}", "--data", root / name, "--train", root / "train", "--out", out]


def test_words_are_found_and_nothing_is_done_twice(root, tmp_path, capsys):
    call(*options(root, "easy", tmp_path / "out"))
    assert read_table(tmp_path / "out/text") == read_table(root / "easy.text")
    record = read_json(tmp_path / "out/decode.json")
    assert record["utterances"] == 45 and record["weights"] == {"lm_weight": 1, "prior_weight": 0.5, "insertion": 0}
    assert record["frames"] == len(np.load(root / "easy/labels.npy")) and record["cpu_seconds"] > 0
    assert "45 utterances" in capsys.readouterr().out
    call(*options(root, "easy", tmp_path / "out"))
    assert "decoded already" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"begun with another weights .*remove the directory"):
        call(*options(root, "easy", tmp_path / "out"), "--lm_weight", "2")


def test_an_utterance_without_predictions_has_no_words(root, tmp_path):
    shutil.copytree(root / "easy", tmp_path / "easy")
    about = read_json(root / "easy/frames.json")
    write_json(tmp_path / "easy/frames.json", {**about, "skipped": ["b", "z"]})
    shutil.copytree(root / "predict_easy", tmp_path / "predict_easy")
    of_data = digest(tmp_path / "easy/frames.json")
    write_json(tmp_path / "predict_easy/predict.json", {"data": "easy", "of_data": of_data})
    texts = read_table(root / "easy.text")
    refs = {**texts, "b": "bad dab", "z": "ace"}
    write_table(tmp_path / "refs", refs)
    places = ["--predictions", tmp_path / "predict_easy", "--data", tmp_path / "easy", "--train", root / "train"]
    call(*places, "--out", tmp_path / "out", "--tune", tmp_path / "refs")
    found = read_table(tmp_path / "out/text", empty=True)
    assert found == {**texts, "b": "", "z": ""} and list(found) == sorted(found)
    words = sum(len(text.split()) for text in refs.values())
    tuned = read_json(tmp_path / "out/weights.json")["tuned"]
    assert tuned["words"] == words and tuned["wer"] == pytest.approx(100 * 3 / words, abs=1e-4)


def test_two_processes_find_what_one_does(root, tmp_path):
    for nj in (1, 2):
        call(*options(root, "noisy", tmp_path / str(nj)), "--insertion", "2", "--nj", nj)
    first, second = (read_table(tmp_path / nj / "text", empty=True) for nj in "12")
    assert first == second and len(set(first.values())) > 5
    assert first != read_table(root / "noisy.text")  # noisy enough for weights to matter


def test_tuned_weights_stand_in_a_file_that_another_run_takes(root, tmp_path, capsys):
    grid = ["--grid", "lm_weight=0:4:2", "insertion=-4:4:4", "prior_weight=0:1:0.5"]
    call(*options(root, "noisy", tmp_path / "tuned"), "--tune", root / "noisy.text", *grid)
    stored = read_json(tmp_path / "tuned/weights.json")
    tuned = stored["tuned"]
    assert tuned["wer"] < tuned["wer_before"] and f"{tuned['wer']:.2f} % after" in capsys.readouterr().out
    for name, values in (("lm_weight", [0, 2, 4]), ("insertion", [-4, 0, 4]), ("prior_weight", [0, 0.5, 1])):
        rates = dict(map(tuple, tuned["table"][name]))
        assert list(rates) == values and min(rates.values()) == rates[stored["weights"][name]] == tuned["wer"]
    call(*options(root, "noisy", tmp_path / "again"), "--weights", tmp_path / "tuned/weights.json")
    assert (tmp_path / "again/text").read_text() == (tmp_path / "tuned/text").read_text()
    assert read_json(tmp_path / "again/decode.json")["weights"] == stored["weights"]
    found = given_weights({"insertion": 9.0}, str(tmp_path / "tuned/weights.json"))
    assert found == Weights(**{**stored["weights"], "insertion": 9})


def test_the_search_ends_where_no_weight_alone_does_better():
    """Errors |lm - 4| + |insertion - lm / 2| of ten, by hand; the prior's weight changes nothing, so it is nought."""
    refs = {"u": ["x"] * 10}

    def texts(weights):
        wrong = int(abs(weights.lm_weight - 4) + abs(weights.insertion - weights.lm_weight / 2))
        return {"u": " ".join(["x"] * (10 - wrong))}

    grids = {"lm_weight": [0, 2, 4, 6], "insertion": [0, 1, 2, 3], "prior_weight": [0, 0.5]}
    found, tuned = tune(texts, refs, Weights(0.0, 0.5, 0.0), grids)
    assert found == Weights(4, 0, 2)
    assert tuned["words"] == 10 and (tuned["wer_before"], tuned["wer"]) == (40, 0)
    assert tuned["table"]["lm_weight"] == [(0, 60), (2, 30), (4, 0), (6, 30)]
    assert "lm_weight: 0 60.00, 2 30.00, 4 0.00, 6 30.00" in describe(tuned, found)
    assert "end of its grid" not in describe(tuned, found)
    assert "lm_weight 6 is the end of its grid" in describe(tuned, Weights(6, 0, 2))


def test_of_equally_good_weights_those_nearest_to_zero_are_taken():
    """Nothing changes the words; and a weight changes with the ones that are found, round after round."""
    found, tuned = tune(
        lambda _weights: {"u": "x"}, {"u": ["x"]}, Weights(3.0, 1.0, 2.0),
        {"lm_weight": [-1.0, -0.5, 2.0], "prior_weight": [0.5, 0.25], "insertion": [-2.0, 1.0]},
    )  # fmt: skip
    assert found == Weights(-0.5, 0.25, 1.0) and (tuned["wer_before"], tuned["wer"]) == (0, 0)


def test_the_graph_is_of_the_training_set(root):
    """Whatever tokens and counts the set that is decoded has."""
    data, train = load(root / "easy"), load(root / "train")
    asked = decode.DecodeOptions(root / "predict_easy", "easy", "train", "out")
    odd = dataclasses.replace(data, counts=list(range(len(data.counts))), tokens={"u": ["a", "a", "a", "b"]})
    first, second = decode.prepare(asked, data, train).graph, decode.prepare(asked, odd, train).graph
    grams = count(train.tokens.values())
    for graph in (first, second):
        expected = build_graph(train.states, train.counts, grams.tokens, grams.table())
        for name in ("classes", "log_priors", "table"):
            assert np.array_equal(getattr(graph, name), getattr(expected, name))
    other = dataclasses.replace(train, counts=[7, *train.counts[1:]])
    assert not np.array_equal(decode.prepare(asked, data, other).graph.log_priors, first.log_priors)


def test_a_table_that_just_fits_is_made(root, monkeypatch):
    data, train = load(root / "easy"), load(root / "train")
    asked = decode.DecodeOptions(root / "predict_easy", "easy", "train", "out")
    kinds = len({token for one in train.tokens.values() for token in one})
    monkeypatch.setattr(decode, "MOST", 8 * (kinds + 1) ** 3)
    assert len(decode.prepare(asked, data, train).tokens) == kinds
    monkeypatch.setattr(decode, "MOST", 8 * (kinds + 1) ** 3 - 1)
    with pytest.raises(UserError, match=f"train: has {kinds} tokens, too many"):
        decode.prepare(asked, data, train)


def test_weights_given_go_before_those_of_a_file(tmp_path):
    write_json(tmp_path / "w.json", {"weights": {"lm_weight": 3, "prior_weight": 0.25}})
    for given, path, expected in (
        ({}, None, Weights()),
        ({}, str(tmp_path / "w.json"), Weights(3.0, 0.25, 0.0)),
        ({"lm_weight": 0.0, "insertion": -1.0}, str(tmp_path / "w.json"), Weights(0.0, 0.25, -1.0)),
        ({"prior_weight": 0.0}, None, Weights(1.0, 0.0, 0.0)),
    ):
        assert given_weights(given, path) == expected


def test_hours_and_seconds_are_of_what_was_decoded(root, tmp_path):
    """45 utterances in shards of 20, 20 and 5; of one process there are no others' seconds."""
    data, train = load(root / "easy"), load(root / "train")
    asked = decode.DecodeOptions(root / "predict_easy", "easy", "train", "out")
    task = decode.prepare(asked, data, train)
    hours_told = []
    for shard in range(3):
        names = task.names[20 * shard : 20 * shard + 20]
        hours = decode_some(task, Weights(), str(tmp_path), shard, names, hours_told.append)
        assert hours == pytest.approx(sum(data.sizes[20 * shard : 20 * shard + 20]) / 360_000)
    assert hours_told == pytest.approx([size / 360_000 for size in data.sizes])
    assert decode_all(task, Weights(), 1)[1] == 0.0


def test_references_are_counted_as_the_score_counts_them(tmp_path):
    write_table(tmp_path / "refs", {"a": "one <NOISE> (uh) TWO", "b": "x", "c": "y"})
    found = references(str(tmp_path / "refs"), ["a", "b"], "predictions")
    assert found == {name: Rules().tokens(words.split()) for name, words in (("a", "one <NOISE> (uh) TWO"), ("b", "x"))}


def test_a_decoding_is_known_by_all_it_was_made_from(root, tmp_path, monkeypatch):
    """Each file and option is changed, one at a time: refused by its name."""
    for name in ("easy", "train", "predict_easy", "noisy"):
        shutil.copytree(root / name, tmp_path / name)
    shutil.copy(root / "easy.text", tmp_path / "refs")
    grid = ["--grid", "lm_weight=0:1:1", "insertion=0:1:1", "prior_weight=0:1:1"]
    base = [*options(tmp_path, "easy", tmp_path / "out"), "--tune", tmp_path / "refs", *grid]

    def stopped(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(decode, "tune", stopped)  # what it is known by stands there before anything is decoded
        call(*base)
    made = read_json(tmp_path / "out/settings.json")
    assert set(made) == {"predictions", "train", "weights", "tune", "grid"}
    write_json(tmp_path / "out/decode.json", {})
    call(*base)

    def refused(what, *words):
        with pytest.raises(UserError, match=f"out: was begun with another {what} "):
            call(*words)

    refused("grid", *base[:-1], "prior_weight=0:1:0.5")
    refused("weights", *base, "--insertion", "0.5")
    refused("tune", *options(tmp_path, "easy", tmp_path / "out"))
    for path, what, ending in (
        ("refs", "tune", b""), ("train/tokens", "train", b" a\n"), ("train/frames.json", "train", b" \n"),
    ):  # fmt: skip
        kept = (tmp_path / path).read_bytes()
        (tmp_path / path).write_bytes(kept.replace(b"bad", b"dab") if path == "refs" else kept[:-1] + ending)
        refused(what, *base)
        (tmp_path / path).write_bytes(kept)
    settings = read_json(tmp_path / "predict_easy/settings.json")
    write_json(tmp_path / "predict_easy/settings.json", settings | {"seed": 0})
    refused("predictions", *base)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["H", "I", SPACE, SPACE, "Y", "O", "U", SPACE], "HI YOU"),
        (["▁HE", "LL", "O", "▁", "▁THERE"], "HELLO THERE"),
        ([SPACE], ""),
        ([], ""),
    ],
)
def test_spelling(tokens, text):
    assert spell(tokens) == text


def test_bad_input_is_named(root, tmp_path):
    out = tmp_path / "out"
    cases = [
        (["--nj", "0"], "--nj 0: expected 1 or more"),
        (["--grid", "lm_weight=0:1:1"], "--grid: is for --tune"),
        (["--grid", "lm=0:1:1", "--tune", root / "easy.text"], "there is no score 'lm'; there are lm_weight"),
        (["--lm_weight", "nan"], "--lm_weight: expected a number"),
        (["--tune", root / "noisy.text"], "noisy.text: lacks 45 of the 45 utterances"),
        (["--data", root / "noisy"], "predict_easy: are predictions of easy as it was or of another set"),
        (["--train", root / "absent"], "absent/frames.json: no such file"),
        (["--predictions", root], "predict.json: no such file; predict first"),
    ]
    for words, said in cases:
        with pytest.raises(UserError, match=said):
            call(*options(root, "easy", out), *words)
    write_json(tmp_path / "weights.json", {"weights": {"lm": 1}})
    with pytest.raises(UserError, match=r"weights\.json: there is no score 'lm'"):
        call(*options(root, "easy", out), "--weights", tmp_path / "weights.json")
    put_frames(tmp_path / "other", {"u": list("bad")}, build([list("bad")], 3, 1))
    with pytest.raises(UserError, match=r"has other states than .*other; make it with --like"):
        call(*options(root, "easy", out), "--train", tmp_path / "other")
    assert not out.exists()
    predictions = np.load(root / "predict_easy/log_probs.npy")
    predictions[-1, 3] = np.nan
    shutil.copytree(root / "predict_easy", tmp_path / "broken")
    np.save(tmp_path / "broken/log_probs.npy", predictions)
    with pytest.raises(UserError, match=r"log_probs\.npy: easy44 has predictions that are no numbers"):
        call(*options(root, "easy", out), "--predictions", tmp_path / "broken")
    (tmp_path / "broken/log_probs.npy").unlink()
    with pytest.raises(UserError, match=r"log_probs\.npy: no such file"):
        call(*options(root, "easy", out), "--predictions", tmp_path / "broken")
    assert not (out / "text").exists()


def test_processes_that_decode_import_no_torch():
    code = "import sys, kdasr.frames.words; print(sorted(sys.modules.keys() & {'torch', 'espnet2'}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
