"""`kdasr ppl` against stock ESPnet's nll, and against the decoder stepped token by token."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "nbest"))
from nbest_models import models, write_data, write_model

from kdasr.cli import main
from kdasr.files import read_json, write_table
from kdasr.score.perplexity import costs

LENGTHS = [30, 9, 24, 17, 27]
TEXTS = ["abc", "a", "badge", "", "def aZ"]  # of characters of the list, an empty one, one with an unknown token


def ids(text):
    return [models.TOKENS.index({" ": "<space>", "Z": "<unk>"}.get(character, character)) for character in text]


def place(root, kind="kdasr"):
    """root/model and root/data: the model, its features."""
    model = write_model(root / "model", kind)
    features = models.features(LENGTHS)
    names = write_data(root / "data", features)
    write_table(root / "data/text", dict(zip(names, TEXTS, strict=True)))
    return model, features


def ppl(root, *more):
    words = ["--model", root / "model", "--data", root / "data", "--out", root / "model/ppl/data.json", *more]
    return main(["ppl", *map(str, words)])


def stock_nll(model, x, text):
    """ESPnet's own negative log likelihood of one utterance."""
    with torch.no_grad():
        hs, hlens = model.encode(x[None].clone(), torch.tensor([len(x)]))
        ys = torch.tensor([ids(text)], dtype=torch.long)
        return model.nll(hs, hlens, ys, torch.tensor([len(text)])).item()


@pytest.mark.parametrize("kind", ["kdasr", "location_lstm", "location_gru", "transformer", "conformer"])
def test_perplexity_is_that_of_espnets_nll(tmp_path, kind):
    model, features = place(tmp_path, kind)
    assert ppl(tmp_path) == 0
    result = read_json(tmp_path / "model/ppl/data.json")
    nll = sum(stock_nll(model, x, text) for x, text in zip(features, TEXTS, strict=True))
    tokens = sum(len(text) + 1 for text in TEXTS)
    assert result["nll"] == pytest.approx(nll, rel=1e-4)
    assert result["ppl"] == pytest.approx(math.exp(nll / tokens), rel=1e-4)
    assert (result["tokens"], result["utterances"], result["unknown"], result["too_short"]) == (tokens, 5, 1, 0)


def test_a_cost_is_the_sum_over_the_decoders_steps():
    model = models.build("kdasr")
    hs = torch.randn(11, 12)
    reference = ids("cab")
    memory = model.decoder.remember(hs[None], torch.tensor([11]))
    state, token, summed = model.decoder.start(memory, 1), model.sos, 0.0
    with torch.no_grad():
        for following in [*reference, model.eos]:
            logp, state = model.decoder.step(torch.tensor([[token]]), state, memory)
            summed -= logp[0, 0, following].item()
            token = following
    assert costs(model, [hs], [reference]).item() == pytest.approx(summed, rel=1e-5)


@pytest.mark.parametrize("kind", ["kdasr", "location_lstm", "transformer"])
def test_batches_change_nothing(tmp_path, kind):
    place(tmp_path, kind)
    found = []
    for frames in (1, 60, 40000):
        out = tmp_path / f"{frames}.json"
        assert ppl(tmp_path, "--out", out, "--batch_frames", frames) == 0
        found.append(read_json(out)["nll"])
    assert found[1:] == pytest.approx(found[:1] * 2, rel=1e-5)


def test_the_stock_rnn_decoder_does_not_sample(tmp_path):
    place(tmp_path, "location_lstm")
    assert ppl(tmp_path) == 0
    config = tmp_path / "model/config.yaml"
    config.write_text(config.read_text().replace("decoder_conf:\n", "decoder_conf:\n  sampling_probability: 1.0\n"))
    assert "sampling_probability: 1.0" in config.read_text()
    assert ppl(tmp_path, "--out", tmp_path / "sampled.json") == 0
    assert read_json(tmp_path / "sampled.json")["nll"] == read_json(tmp_path / "model/ppl/data.json")["nll"]


def test_a_second_run_computes_nothing_until_the_text_changes(tmp_path, capsys):
    place(tmp_path)
    assert ppl(tmp_path) == 0
    shown = capsys.readouterr().out
    before = read_json(tmp_path / "model/ppl/data.json")
    assert shown.endswith(f"perplexity {before['ppl']:.4f} over 20 tokens\n")
    assert ppl(tmp_path) == 0
    assert "computed already" in capsys.readouterr().out
    write_table(tmp_path / "data/text", {f"utt{i}": "ab" for i in range(5)})
    assert ppl(tmp_path) == 0
    assert read_json(tmp_path / "model/ppl/data.json")["tokens"] == 15


def test_utterances_too_short_to_be_encoded_are_counted(tmp_path, capsys):
    write_model(tmp_path / "model", "transformer")
    write_data(tmp_path / "data", models.features([3, 40]))
    assert ppl(tmp_path) == 0
    result = read_json(tmp_path / "model/ppl/data.json")
    assert (result["utterances"], result["too_short"], result["tokens"]) == (1, 1, 6)
    assert "1 utterances are too short" in capsys.readouterr().out


def test_bad_input_is_told(tmp_path, capsys):
    place(tmp_path)
    write_table(tmp_path / "data/text", {f"utt{i}": "ab" for i in (0, 1, 2, 4)})
    assert ppl(tmp_path) == 1
    assert "utt3 is missing" in capsys.readouterr().err
    (tmp_path / "data/text").unlink()
    assert ppl(tmp_path) == 1
    assert "has no text" in capsys.readouterr().err
    config = tmp_path / "model/config.yaml"
    config.write_text(config.read_text().replace("ctc_weight: 0.5", "ctc_weight: 1.0"))
    (tmp_path / "data/text").touch()
    assert ppl(tmp_path) == 1
    assert "was trained with CTC alone" in capsys.readouterr().err
    assert not (tmp_path / "model/ppl").exists()
