"""Models as people bring them: stock ESPnet's networks, on audio, with tokens, statistics and paths of all kinds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import soundfile
import torch
import yaml
from nbest_models import models

from kdasr.cli import main
from kdasr.data.make_tokens import train_pieces
from kdasr.data.tokens import processor
from kdasr.espnet import name
from kdasr.nbest.archive import read_nbest

WORDS = ["ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN"]
AUDIO = {
    "input_size": None,
    "frontend": "default",
    "frontend_conf": {"fs": 8000, "n_fft": 128, "win_length": 128, "hop_length": 64, "n_mels": 8},
}
MEAN = {"utterance_mvn": {}, "global_mvn": {"stats_file": "exp/stats/train/feats_stats.npz"}}
CASES = [
    ("transformer", "utterance_mvn", "char"),
    ("conformer", "global_mvn", "bpe"),
    ("e_branchformer", "utterance_mvn", "word"),
    ("location_lstm", "global_mvn", "bpe"),
    ("e_branchformer", "global_mvn", "char"),
]
HERE = "exp/asr_raw"  # the model directory, below where it was trained


def write_files(training):
    """What a training has besides its model: statistics, a sentencepiece model, a token list. The pieces."""
    (training / "exp/stats/train").mkdir(parents=True)
    np.savez(training / MEAN["global_mvn"]["stats_file"], count=4, sum=np.arange(8.0), sum_square=np.full(8, 60.0))
    (training / "data/token_list/bpe").mkdir(parents=True)
    lines = [" ".join(pair) for pair in itertools.permutations(WORDS, 2)]
    pieces = train_pieces(lines, "bpe", 30, [], training)
    (training / "data/token_list/bpe/bpe.model").write_bytes(pieces)
    return pieces


def write_teacher(training, kind, normalize, token_type, **changes):
    """A model in HERE, trained in `training`, with paths relative to that; its config."""
    pieces = processor(write_files(training), "bpe.model")
    tokens = {
        "char": models.TOKENS[1:-1],
        "word": ["<unk>", *WORDS],
        "bpe": ["<unk>", *(pieces.id_to_piece(number) for number in range(3, len(pieces)))],
    }[token_type]
    given = {
        **AUDIO,
        "token_list": ["<blank>", *tokens, "<sos/eos>"],
        "token_type": token_type,
        "normalize": normalize,
        "normalize_conf": MEAN[normalize],
        "bpemodel": "data/token_list/bpe/bpe.model" if token_type == "bpe" else None,
        **changes,
    }
    stats = {"normalize_conf": {key: str(training / path) for key, path in MEAN[normalize].items()}}
    model = models.build(kind, changes=given | stats)
    directory = training / HERE
    directory.mkdir(parents=True)
    torch.save(model.state_dict(), directory / "valid.acc.ave_10best.pth")
    (directory / "valid.acc.ave.pth").symlink_to("valid.acc.ave_10best.pth")
    config = models.config(kind) | given
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    return config


def write_audio(directory):
    """Three noises in a data directory; utterance -> samples, float32."""
    directory.mkdir()
    generator = np.random.default_rng(5)
    said = {}
    for key, length in (("a", 4000), ("b", 2600), ("c", 3300)):
        samples = (generator.standard_normal(length) * 3000).astype(np.int16)
        soundfile.write(directory / f"{key}.wav", samples, 8000)
        said[key] = samples.astype(np.float32) / 32768
    (directory / "wav.scp").write_text("".join(f"{key} {directory}/{key}.wav\n" for key in said))
    return said


def found(root, model, *options):
    """The N-best lists of `kdasr nbest`, three of beam four."""
    words = ["--model", model, "--data", root / "audio", "--out", root / "nbest", "--beam", 4, "--nbest", 3, *options]
    assert main(["nbest", *map(str, words)]) == 0
    return {one["id"]: one["hyps"] for one in read_nbest(root / "nbest")}


def of_stock(training, said, monkeypatch, ctc_weight):
    """The N-best lists of stock ESPnet's Speech2Text, run where the training was."""
    monkeypatch.chdir(training)
    speech2text = name("espnet2.bin.asr_inference:Speech2Text")(
        f"{HERE}/config.yaml", f"{HERE}/valid.acc.ave.pth", beam_size=4, nbest=3, ctc_weight=ctc_weight, lm_weight=0.0
    )
    with torch.no_grad():
        return {key: speech2text(samples) for key, samples in said.items()}


def compare(ours, theirs, blank=""):
    """Whether the lists have the same tokens, texts and scores.

    ESPnet's may say one text twice, and one that is ended at the longest length has its end token twice.
    """
    assert ours.keys() == theirs.keys() and any(hyp["text"] for hyps in ours.values() for hyp in hyps)
    for key, hyps in ours.items():
        expected = {}
        for text, tokens, ids, hyp in theirs[key]:
            said = [number for token, number in zip(tokens, ids, strict=True) if token != "<sos/eos>"]
            expected.setdefault(text.removesuffix(f"{blank}<sos/eos>"), (said, float(hyp.score)))
        assert [hyp["text"] for hyp in hyps] == list(expected)
        assert [hyp["tokens"] for hyp in hyps] == [ids for ids, _ in expected.values()]
        np.testing.assert_allclose([hyp["score"] for hyp in hyps], [one for _, one in expected.values()], atol=1e-3)


@pytest.mark.parametrize(("kind", "normalize", "token_type"), CASES)
def test_stock_models_decode_as_stock_espnet_does(tmp_path, monkeypatch, kind, normalize, token_type):
    write_teacher(tmp_path / "training", kind, normalize, token_type)
    said = write_audio(tmp_path / "audio")
    ours = found(tmp_path, tmp_path / "training" / HERE, "--ctc_weight", 0.4)
    compare(ours, of_stock(tmp_path / "training", said, monkeypatch, 0.4), " " if token_type == "word" else "")


def test_a_model_of_ctc_alone_decodes_as_stock_espnet_does(tmp_path, monkeypatch, capsys):
    write_teacher(tmp_path / "training", "conformer", "utterance_mvn", "char", model_conf={"ctc_weight": 1.0})
    said, model = write_audio(tmp_path / "audio"), tmp_path / "training" / HERE
    words = ["nbest", "--model", str(model), "--data", str(tmp_path / "audio"), "--out", str(tmp_path / "nbest")]
    assert main(words) == 1
    assert "the model has no attention decoder; give --ctc_weight 1" in capsys.readouterr().err
    compare(found(tmp_path, model, "--ctc_weight", 1), of_stock(tmp_path / "training", said, monkeypatch, 1.0))


PLACES = {  # where the files are that the config names: relative to the training, to the model, beside it, absolute
    "training": ("{training}/{path}", "{path}"),
    "model": ("{model}/{path}", "{path}"),
    "beside": ("{model}/{file}", "{path}"),
    "gone": ("{model}/{file}", "/gone/{path}"),
    "absolute": ("{elsewhere}/{path}", "{elsewhere}/{path}"),
    "packed": ("{model}/gone/{path}", "/gone/{path}"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("linked", [False, True])
def test_files_of_a_config_are_found_where_they_may_be(tmp_path, monkeypatch, place, linked):
    training = tmp_path / "training"
    config = write_teacher(training, "conformer", "global_mvn", "bpe")
    write_audio(tmp_path / "audio")
    model = training / HERE
    expected = found(tmp_path, model)
    (tmp_path / "nbest").rename(tmp_path / "expected")
    (training / "data/token_list/bpe/tokens.txt").write_text("".join(f"{one}\n" for one in config["token_list"]))
    paths = {
        "bpemodel": "data/token_list/bpe/bpe.model",
        "token_list": "data/token_list/bpe/tokens.txt",
        "stats_file": "exp/stats/train/feats_stats.npz",
    }
    for key, path in paths.items():
        where, named = (
            form.format(training=training, model=model, elsewhere=tmp_path / "x", path=path, file=path.split("/")[-1])
            for form in PLACES[place]
        )
        old = (training / path).read_bytes()
        (training / path).unlink()
        target = tmp_path / where
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(old)
        if key == "stats_file":
            config["normalize_conf"] = {key: named}
        else:
            config[key] = named
    (model / "config.yaml").write_text(yaml.safe_dump(config))
    if linked:  # as the recipe has it
        assert main(["adopt", str(model), "--out", str(tmp_path / "exp/teacher")]) == 0
        model = tmp_path / "exp/teacher"
    monkeypatch.chdir(tmp_path)
    assert found(tmp_path, model) == expected
    assert main(["tokens", "--model", str(model), "--out", str(tmp_path / "tokens")]) == 0


def test_a_sentencepiece_model_that_is_gone_is_named(tmp_path, capsys):
    training = tmp_path / "training"
    write_teacher(training, "conformer", "utterance_mvn", "bpe")
    (training / "data/token_list/bpe/bpe.model").unlink()
    write_audio(tmp_path / "audio")
    words = ["nbest", "--model", str(training / HERE), "--data", str(tmp_path / "audio"), "--out", str(tmp_path / "n")]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "config.yaml: names data/token_list/bpe/bpe.model as its sentencepiece model, which is gone" in said
