"""An exported translator is the translator: texts, scores and N-best of kdasr.search; and what its bundle holds."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
import yaml
from bundles import add_bias, export, found_by_search, kdasr
from mt_models import MODELS, OWN, SOURCE, TARGET, TO_FED, build, draw, options, write_data, write_model

from kdasr.data.make_tokens import train_pieces
from kdasr.errors import UserError
from kdasr.files import read_json, read_lines
from kdasr.runtime.translator import Translator
from kdasr.search.options import SearchOptions

SENTENCES = draw(14)
SEARCHES = [
    SearchOptions(beam=1, nbest=1, ctc_weight=0.0),
    SearchOptions(beam=5, nbest=5, ctc_weight=0.0),
    SearchOptions(
        beam=3, nbest=3, ctc_weight=0.0, maxlenratio=2.0, minlenratio=0.5, penalty=0.3, normalize_length=True
    ),
]
KINDS = ("onnx", "int8.onnx")  # of files
SEARCHED = ("beam", "nbest", "penalty", "maxlenratio", "minlenratio", "normalize_length")
TRAINING = {
    **OWN,
    **TO_FED,
    "optim": "adam",
    "optim_conf": {"lr": 0.01},
    "batch_type": "numel",
    "batch_bins": 2000,
    "max_epoch": 3,
    "num_workers": 0,
    "best_model_criterion": [["valid", "acc", "max"]],
    "keep_nbest_models": 1,
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
}


@pytest.fixture(scope="module", params=MODELS)
def place(request, tmp_path_factory):
    """A translator of each kind, and its bundle."""
    root = tmp_path_factory.mktemp(request.param)
    write_data(root / "data", SENTENCES)
    write_model(root / "model", request.param)
    add_bias(root / "model", -1, -3.0)  # so that even a greedy search writes something
    export(root / "model", root / "bundle")
    return root


@pytest.mark.parametrize("search", SEARCHES, ids=["greedy", "beam", "bounded"])
def test_a_bundle_finds_what_the_search_finds(place, search):
    """From the bundle, and from the model's own directory with torch."""
    right = found_by_search(place / "model", place / "data", search)
    given = {name: getattr(search, name) for name in SEARCHED}
    for model in ("bundle", "model"):
        translator = Translator(place / model, **given)
        for name, hyps in right.items():
            found = translator.translate(SENTENCES[name][0])
            assert [one.text for one in found.nbest] == [hyp["text"] for hyp in hyps], name
            assert [one.score for one in found.nbest] == pytest.approx([hyp["score"] for hyp in hyps], abs=1e-4)
            assert found.nbest[0].scores == pytest.approx(hyps[0]["scores"], abs=1e-4)
            assert (found.source, found.text) == (SENTENCES[name][0], hyps[0]["text"])
    written = {hyp["text"] for hyps in right.values() for hyp in hyps}
    assert search.beam == 1 or len(written) > 3, "these models write alike, and show little"


def test_int8_is_near(tmp_path):
    """Log probabilities of the first token, which are those of weights rounded to 127 steps a channel."""
    wide = {"encoder_conf": {"hidden_size": 24}, "decoder_conf": {"hidden_size": 24, "embed_size": 24}}
    model = write_model(tmp_path / "m", "own_luong")
    (model / "config.yaml").write_text(yaml.safe_dump(vars(options("own_luong", **wide))))
    torch.save(build("own_luong", sharp=1.5, **wide).state_dict(), model / "valid.acc.ave.pth")
    bundle = export(model, tmp_path / "b", "--int8")
    first = []
    for precision in ("fp32", "int8"):
        translator = Translator(bundle, precision=precision)
        read = translator.model.networks.encode(translator.source.read("abcdefgh"))
        first.append(read.step(np.array([len(TARGET) - 1]), read.states)[0])
    difference = np.abs(first[0] - first[1])
    assert 1e-6 < difference.mean() < 0.3
    sizes = [sum((bundle / f"{part}.{kind}").stat().st_size for part in ("encoder", "decoder")) for kind in KINDS]
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("kind", ["char", "bpe", "word"])
def test_a_trained_translator_leaves_the_lab(kind, tmp_path, monkeypatch, capsys):
    """kdasr translate writes what kdasr decode writes, the card has what kdasr score gives, whatever the tokens are."""
    monkeypatch.chdir(tmp_path)
    between = " " if kind == "word" else ""
    spaced = {key: tuple(between.join(text) for text in pair) for key, pair in draw(24).items()}
    write_data(tmp_path / "train", spaced)
    write_data(tmp_path / "test", {f"v{key}": spaced[key] for key in list(spaced)[:12]})
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(TRAINING))
    size = {"char": (), "bpe": ("--vocab", 14), "word": ("--vocab", 9)}[kind]  # two source words are unknown
    for side, text in (("source", "text.src"), ("target", "text")):
        assert kdasr("tokens", "--text", f"train/{text}", "--out", side, "--type", kind, *size) == 0
    sides = ("--src_tokens", "source", "--tokens", "target")
    assert kdasr("train", "--config", "c.yaml", "--train", "train", "--valid", "test", *sides, "--out", "exp/m") == 0
    assert kdasr("decode", "--model", "exp/m", "--data", "test", "--out", "dec", "--beam", 3) == 0
    assert kdasr("score", "--type", "bleu", "--ref", "test/text", "--hyp", "dec/text", "--dir", "scored") == 0
    capsys.readouterr()
    bundle = export("exp/m", tmp_path / "b", "--data", "test", "--beam", 3, "--int8", "--zip")
    shown = capsys.readouterr().out
    shutil.rmtree("exp")
    shutil.rmtree("source")
    right = {key: text for key, _, text in (line.partition(" ") for line in read_lines("dec/text"))}
    assert kdasr("translate", "--model", "b.zip", "--data", "test") == 0
    assert capsys.readouterr().out == "".join(f"{key}\t{text}\n" for key, text in right.items())
    (tmp_path / "t").write_text("".join(f"{spaced[key[1:]][0]}\n" for key in right))
    assert kdasr("translate", "--model", "b", "t") == 0
    assert capsys.readouterr().out.splitlines() == list(right.values())
    assert len(set(right.values())) > 1

    settings = read_json(bundle / "bundle.json")
    told = {"kind": kind, "symbols": [], "sos": len((bundle / "source_tokens.txt").read_text().splitlines()) - 1}
    assert (settings["input"], settings["source"]) == ("text", told)
    assert {path.name for path in bundle.iterdir()} == {"bundle.json", *settings["files"]}
    assert (bundle / "source.model").exists() == (kind == "bpe")
    scored = read_json("scored/score.json")
    rows = settings["card"]["networks"]
    assert rows["fp32"]["bleu"] == rows["checkpoint"]["bleu"] == pytest.approx(scored["bleu"], abs=0.01)
    assert rows["fp32"]["interval95"] == scored["interval95"] and rows["fp32"]["other_than_checkpoint"] == 0
    assert all(0 < row["seconds"] < 5 for row in rows.values()) and rows["int8"]["bytes"] < rows["fp32"]["bytes"]
    assert settings["card"]["set"] == {"name": "test", "utterances": 12, "signature": scored["signature"]}
    page = (bundle / "README.md").read_text()
    assert f"| fp32 | {rows['fp32']['bytes']} | {scored['bleu']:.2f} |" in shown and "WER" not in shown + page
    assert page.startswith("# m\n\nA translator,") and "kdasr translate --model BUNDLE" in page
    assert shown.splitlines()[-1].endswith(f"translate --model {tmp_path}/b.zip sentences.txt")


def test_files_of_the_source_are_checked(tmp_path):
    """Its tokens and its sentencepiece model are the bundle's as much as the target's."""
    bundle = export(write_model(tmp_path / "m", "own_fed"), tmp_path / "b")
    text = (bundle / "source_tokens.txt").read_text()
    assert text.splitlines() == SOURCE
    (bundle / "source_tokens.txt").write_text(text.replace("a\nb", "b\na"))
    with pytest.raises(UserError, match=r"b: source_tokens.txt is not as it was exported"):
        Translator(bundle)
    (bundle / "source_tokens.txt").unlink()
    with pytest.raises(UserError, match=r"b: has no source_tokens.txt, so it is no bundle, or was cut"):
        Translator(bundle)


def test_symbols_of_the_source_are_one_token(tmp_path):
    """A model's non-linguistic symbols go with it: <x> is read as one token, not as three characters."""
    model = write_model(tmp_path / "m", "own_luong")
    config = yaml.safe_load((model / "config.yaml").read_text())
    listed = [{"h": "<x>"}.get(token, token) for token in SOURCE]
    (model / "config.yaml").write_text(yaml.safe_dump(config | {"src_token_list": listed}))
    bundle = export(model, tmp_path / "b")
    assert json.loads((bundle / "bundle.json").read_text())["source"]["symbols"] == ["<x>"]
    read = Translator(bundle).source.read
    assert read("a<x>q").tolist() == [len(SOURCE) - 1, 2, listed.index("<x>"), 1]
    assert read(" a\u00a0\t b ").tolist() == read("a b").tolist()
    assert read(" \u2003\n") is None


def test_sentencepiece_is_asked_for_where_it_is_needed(tmp_path, monkeypatch):
    """Characters and words are read without it."""
    model = write_model(tmp_path / "pieces", "own_luong")
    pieces = train_pieces(["ab bc cd"] * 3, "bpe", 12, [], "source")
    listed = ["<blank>", "<unk>", "\u2581", *"abcd", "<sos/eos>"]
    changes = {"src_token_list": listed, "src_token_type": "bpe", "src_bpemodel": "bpe.model"}
    (model / "config.yaml").write_text(yaml.safe_dump(vars(options("own_luong", **changes))))
    (model / "bpe.model").write_bytes(pieces)
    torch.save(build("own_luong", **changes).state_dict(), model / "valid.acc.ave.pth")
    bundle = export(model, tmp_path / "b.zip")
    assert Translator(bundle).source.read("ab ba").tolist()[0] == len(listed) - 1
    plain = export(write_model(tmp_path / "char", "own_luong"), tmp_path / "c")
    monkeypatch.setitem(sys.modules, "sentencepiece", None)  # as if it were not installed
    assert Translator(plain).translate("abc").nbest
    with pytest.raises(UserError, match=r"b.zip/source.model: sentencepiece is not installed, .* pip install"):
        Translator(bundle)
