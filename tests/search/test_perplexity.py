"""`kdasr ppl` against stock ESPnet's nll, and against the decoder stepped token by token."""

import math

import pytest
import torch
from nbest_models import models, write_data, write_model

from kdasr.cli import main
from kdasr.files import read_json, write_json, write_table
from kdasr.search.perplexity import costs
from kdasr.shards import digest

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


def test_what_a_perplexity_was_computed_of_is_told_and_compared(tmp_path, capsys):
    """Whatever of model and text is another one now, what is there is not taken for it."""
    place(tmp_path)
    assert ppl(tmp_path) == 0
    out = tmp_path / "model/ppl/data.json"
    result = read_json(out)
    stamps = {"model": "model/valid.acc.ave.pth", "config": "model/config.yaml", "text": "data/text"}
    assert {key: digest(tmp_path / file) for key, file in stamps.items()} == {key: result[key] for key in stamps}
    assert result["token_list"] not in ("", result["config"])
    for key in (*stamps, "token_list"):
        for old in ({**result, key: "0" * 16}, {name: value for name, value in result.items() if name != key}):
            write_json(out, {**old, "ppl": -1.0})
            capsys.readouterr()
            assert ppl(tmp_path) == 0
            assert "computed already" not in capsys.readouterr().out and read_json(out) == result, key


def test_another_checkpoint_of_the_directory(tmp_path):
    model, _ = place(tmp_path)
    assert ppl(tmp_path) == 0
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter *= 2
    torch.save(model.state_dict(), tmp_path / "model/other.pth")
    out = tmp_path / "other.json"
    assert ppl(tmp_path, "--model_file", "other.pth", "--out", out) == 0
    found = read_json(tmp_path / "model/ppl/data.json"), read_json(out)
    assert found[0]["model"] != found[1]["model"] == digest(tmp_path / "model/other.pth")
    assert abs(found[0]["nll"] - found[1]["nll"]) > 0.01


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
    for option, value in (("--batch_frames", 0), ("--batch_frames", -1), ("--ngpu", -1)):
        assert ppl(tmp_path, option, value) == 1
        assert "--batch_frames: expected 1 or more, and --ngpu 0 or more" in capsys.readouterr().err
    assert not (tmp_path / "model/ppl").exists()


@pytest.mark.parametrize("favour", [5.0, 100.0, 1000.0])
def test_a_high_perplexity_is_told_up_to_what_a_number_holds(tmp_path, favour):
    """A decoder that says <eos> whatever it hears: of the 20 tokens the 15 others have `favour` less."""
    model, _ = place(tmp_path, "location_lstm")
    with torch.no_grad():
        model.decoder.output.weight.zero_()
        model.decoder.output.bias.zero_()[model.eos] = favour
    torch.save(model.state_dict(), tmp_path / "model/valid.acc.ave.pth")
    assert ppl(tmp_path) == 0
    result = read_json(tmp_path / "model/ppl/data.json")
    of_eos = math.log1p((len(models.TOKENS) - 1) * math.exp(-favour))
    assert (result["tokens"], result["nll"]) == (20, pytest.approx(20 * of_eos + 15 * favour, rel=1e-6))
    assert result["ppl"] == pytest.approx(math.exp(min(result["nll"] / 20, 700)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_no_perplexity(tmp_path, capsys, value):
    model, _ = place(tmp_path)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.fill_(value)
    torch.save(model.state_dict(), tmp_path / "model/valid.acc.ave.pth")
    assert ppl(tmp_path) == 1
    assert "gives references no probability that is a number; train again" in capsys.readouterr().err
    assert not (tmp_path / "model/ppl").exists()
