"""Unknown words of a translation: which source word the decoder attended to, and what is written then."""

import json

import pytest
import torch
import yaml
from mt_models import MODELS, build, options, write_model

from kdasr.cli import main
from kdasr.data.kaldi_dir import put_dir
from kdasr.files import read_table
from kdasr.search.scorers import decoder_scorer
from kdasr.search.unknown import attended, replaced

SOURCE = ["<blank>", "<unk>", "a", "dog", "runs", "<sos/eos>"]
TARGET = ["<blank>", "<unk>", "ein", "Hund", "läuft", "<sos/eos>"]
SENTENCES = {"u1": "a dog runs", "u2": "Ada runs", "u3": "a Zebra sees Ada and Bob"}


@pytest.mark.parametrize("kind", ["own_luong", "own_fed", "rnn_rnn"])
def test_the_frame_attended_to(kind):
    model = build(kind)
    hs = model.encode(torch.tensor([[2, 3, 4, 5]]), torch.tensor([4]))[0][0].detach()
    tokens, seen = [3, 4, 2, 6], []
    if kind == "rnn_rnn":
        model.decoder.att_list[0].register_forward_hook(lambda _, given, gave: seen.append(int(gave[1].argmax())))
        model.decoder(hs[None], torch.tensor([5]), torch.tensor([[model.sos, *tokens]]), torch.tensor([5]))
    else:
        state = None
        for i in range(len(tokens)):
            prefix = torch.tensor([[model.sos, *tokens[:i]]])
            _, (state,) = model.decoder.batch_score(prefix, [state], hs[None])
            seen.append(int(state.align[0, 0].argmax()))
    assert attended(decoder_scorer(model)[0], hs, tokens, model.sos) == seen[: len(tokens)]


def test_what_is_written():
    assert replaced(["<unk>", "läuft", "<unk>"], [2, 1, 0], ["a", "Zebra"]) == "Zebra läuft <unk>"


def write(root, kind="own_luong", favour=None, **changes):
    """A model of words that writes `favour` at every step, and a set with words that it does not know."""
    words = {"src_token_list": SOURCE, "token_list": TARGET, "src_token_type": "word", "token_type": "word", **changes}
    model = build(kind, **words)
    with torch.no_grad():
        model.decoder.output.bias[TARGET.index(favour)] += 50 if favour else 0
    write_model(root / "model", kind)
    (root / "model/config.yaml").write_text(yaml.safe_dump(vars(options(kind, **words)), allow_unicode=True))
    torch.save(model.state_dict(), root / "model/valid.acc.ave.pth")
    put_dir(root / "data", {"utt2spk": {key: key for key in SENTENCES}, "text.src": SENTENCES})
    return model


def decode(root, out, *more):
    given = ["--model", root / "model", "--data", root / "data", "--out", root / out, "--maxlenratio", "-3", *more]
    return main(["decode", *map(str, given)])


def test_a_decoding_with_words_of_the_source(tmp_path, capsys):
    model = write(tmp_path, favour="<unk>")
    assert decode(tmp_path, "plain") == 0
    assert set(read_table(tmp_path / "plain/text").values()) == {"<unk> <unk> <unk>"}
    assert decode(tmp_path, "replaced", "--replace_unk") == 0
    expected = {}
    for key, text in SENTENCES.items():
        words = text.split()
        src = torch.tensor([[SOURCE.index(word) if word in SOURCE else 1 for word in words]])
        hs = model.encode(src, torch.tensor([len(words)]))[0][0].detach()
        frames = attended(decoder_scorer(model)[0], hs, [1, 1, 1], model.sos)
        expected[key] = " ".join(words[at - 1] if at else "<unk>" for at in frames)
    found = read_table(tmp_path / "replaced/text")
    assert found == expected
    assert any("Zebra" in text or "Ada" in text or "Bob" in text for text in found.values())
    assert read_table(tmp_path / "replaced/token_int") == read_table(tmp_path / "plain/token_int")
    assert json.loads((tmp_path / "replaced/shards/manifest.json").read_text())["replace_unk"] is True
    assert "replace_unk" not in json.loads((tmp_path / "plain/shards/manifest.json").read_text())
    capsys.readouterr()
    assert decode(tmp_path, "plain", "--replace_unk") == 1
    assert "made with other settings" in capsys.readouterr().err


def test_words_that_are_known_stay(tmp_path):
    write(tmp_path, favour="Hund")
    assert decode(tmp_path, "out", "--replace_unk") == 0
    assert set(read_table(tmp_path / "out/text").values()) == {"Hund Hund Hund"}


def test_what_cannot_be_replaced(tmp_path, capsys):
    write_model(tmp_path / "model", "own_luong")
    put_dir(tmp_path / "data", {"utt2spk": {"u": "u"}, "text.src": {"u": "ab"}})
    assert decode(tmp_path, "out", "--replace_unk") == 1
    assert "model reads char and writes char tokens; it is for words" in capsys.readouterr().err
    words = {"src_token_type": "word", "token_type": "word"}
    (tmp_path / "model/config.yaml").write_text(yaml.safe_dump(vars(options("own_luong", **words))))
    assert decode(tmp_path, "out", "--replace_unk", "--model", str(tmp_path / "model"), str(tmp_path / "model")) == 1
    assert "--replace_unk: is of one model that translates" in capsys.readouterr().err
    kind = "transformer_transformer"
    assert kind in MODELS
    write_model(tmp_path / "other", kind)
    (tmp_path / "other/config.yaml").write_text(yaml.safe_dump(vars(options(kind, **words))))
    assert decode(tmp_path, "out", "--replace_unk", "--model", str(tmp_path / "other")) == 1
    assert "has no recurrent attention decoder" in capsys.readouterr().err


def test_a_set_whose_sentences_changed_is_another(tmp_path, capsys):
    write(tmp_path, favour="Hund")
    assert decode(tmp_path, "out") == 0
    (tmp_path / "data/text.src").write_text("u1 a dog\nu2 Ada\nu3 Bob\n")
    assert decode(tmp_path, "out") == 1
    assert "made with other settings" in capsys.readouterr().err
