"""S2T models (OWSM) decode as espnet2.bin.s2t_inference does, prompt, fixed length and timestamps included."""

from __future__ import annotations

import numpy as np
import pytest
import s2t_models as models
import soundfile
import yaml

from kdasr.cli import main
from kdasr.data.tokens import load_tokens, of_model
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.files import read_json, read_lines, read_table, write_table
from kdasr.models import read_config
from kdasr.nbest.archive import read_nbest
from kdasr.networks.load import load_model
from kdasr.networks.teachers import Teachers
from kdasr.shards import digest


def run(command, root, out, *more, model="model"):
    words = ["--model", root / model, "--data", root / "audio", "--out", root / out, "--beam", 4, *more]
    return main([command, *map(str, words)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("s2t")
    models.write_model(root / "model")
    models.write_model(root / "short", ends=12.0)  # its searches end by end detection
    return root, models.write_audio(root / "audio")


SEARCHES = [
    ("eng", "asr", {"ctc_weight": 0.0}),
    ("eng", "asr", {"ctc_weight": 0.0, "model": "short"}),
    ("deu", "asr", {"ctc_weight": 0.0, "penalty": 1.5, "normalize_length": True}),
    ("deu", "asr", {"ctc_weight": 0.3, "maxlenratio": 0.9}),
    ("eng", "st_deu", {"ctc_weight": 0.2, "penalty": 0.3, "normalize_length": True, "maxlenratio": -20}),
    ("eng", "asr", {"ctc_weight": 1.0, "maxlenratio": 0.9}),
    ("eng", "asr", {"ctc_weight": 0.3, "maxlenratio": 0.1, "minlenratio": 0.05}),
]


@pytest.mark.parametrize("number", range(len(SEARCHES)))
def test_lists_are_stock_espnets(place, number):
    root, said = place
    lang, task, options = SEARCHES[number]
    model = (options := dict(options)).pop("model", "model")
    theirs = models.stock(root / model, said, f"<{lang}>", f"<{task}>", beam_size=4, nbest=40, **options)
    words = [w for key, value in options.items() for w in ([f"--{key}"] if value is True else [f"--{key}", value])]
    out = f"nbest{number}"
    assert run("nbest", root, out, "--nbest", 40, "--lang", lang, "--task", f"<{task}>", *words, model=model) == 0
    ours = {one["id"]: one["hyps"] for one in read_nbest(root / out)}
    for key, hyps in ours.items():
        expected = {}
        for text, score in theirs[key]:
            expected.setdefault(text, score)  # ESPnet's may say one text twice
        assert [hyp["text"] for hyp in hyps] == list(expected)
        np.testing.assert_allclose([hyp["score"] for hyp in hyps], list(expected.values()), atol=1e-3)
    assert any(hyp["text"] for hyps in ours.values() for hyp in hyps)


def test_what_is_written_is_in_the_tokens_of_the_students(place, tmp_path, capsys):
    root, _ = place
    assert main(["tokens", "--model", str(root / "model"), "--out", str(tmp_path / "tokens")]) == 0
    listed = read_lines(tmp_path / "tokens/tokens.txt")
    pieces = [token for token in read_config(root / "model")["token_list"] if not token.startswith("<")]
    assert listed == ["<blank>", "<unk>", *pieces, "<sos/eos>"] and len(pieces) == 27
    given = ("--lang", "eng", "--ctc_weight", 0.0)
    assert run("decode", root, tmp_path / "decode", *given) == 0
    assert run("nbest", root, tmp_path / "nbest", "--nbest", 3, *given) == 0
    manifest = read_json(tmp_path / "nbest/manifest.json")
    assert manifest["prompt"] == "<eng> <asr> <notimestamps>"
    assert manifest["tokens"] == digest(tmp_path / "tokens/tokens.txt")
    spelt, best = load_tokens(tmp_path / "tokens"), {}
    for record in read_nbest(tmp_path / "nbest"):
        for hyp in record["hyps"]:
            assert spelt.decode(hyp["tokens"]) == hyp["text"]
            assert not {0, 1, len(listed) - 1} & set(hyp["tokens"])
        best[record["id"]] = record["hyps"][0]["text"]
    assert read_table(tmp_path / "decode/text", empty=True) == best
    tokens = read_table(tmp_path / "decode/token", empty=True)
    assert {key: spelt.join(line.split()) for key, line in tokens.items()} == best
    # a search for another task does not go on in the same archive
    capsys.readouterr()
    assert run("nbest", root, tmp_path / "nbest", "--nbest", 3, *given, "--task", "st_deu") == 1
    assert "prompt was '<eng> <asr> <notimestamps>'" in capsys.readouterr().err


def test_a_teacher_remembers_its_language(place, tmp_path, capsys):
    root, _ = place
    for option, word in (("--lang", "fra"), ("--task", "st_fra")):
        words = ["adopt", str(root / "model"), "--out", str(tmp_path / "t"), "--lang", "eng", option, word]
        assert main(words) == 1
        said = capsys.readouterr().err
        assert f"{option} <{word}>: {root}/model/config.yaml has no such token; its symbols begin" in said
        assert "<eng>, <deu>, <asr>" in said and not (tmp_path / "t").exists()
    assert main(["adopt", str(root / "model"), "--out", str(tmp_path / "t")]) == 1
    assert "has to be told the language of the audio: give --lang, as --lang eng" in capsys.readouterr().err
    for lang, task, more in (("deu", "asr", ()), ("eng", "st_deu", ("--task", "<st_deu>"))):
        assert main(["adopt", str(root / "model"), "--out", str(tmp_path / "t"), "--lang", lang, *more]) == 0
        assert read_json(tmp_path / "t/kdasr.json")["prompt"] == {"lang": f"<{lang}>", "task": f"<{task}>"}
    given = ("--beam", 2, "--ctc_weight", 0)
    assert run("decode", root, tmp_path / "told", *given, model=tmp_path / "t") == 0
    assert run("decode", root, tmp_path / "asked", *given, "--lang", "eng", "--task", "st_deu") == 0
    assert run("decode", root, tmp_path / "other", *given, "--task", "asr", model=tmp_path / "t") == 0
    said = {name: (tmp_path / name / "score").read_text() for name in ("told", "asked", "other")}
    assert said["told"] == said["asked"] != said["other"]
    assert run("decode", root, tmp_path / "none") == 1
    assert "give --lang, as --lang eng" in capsys.readouterr().err


def test_a_pack_of_stock_espnet(place, tmp_path, capsys, monkeypatch):
    root, _ = place
    monkeypatch.chdir(root / "model")
    name("espnet2.main_funcs.pack_funcs:pack")(
        files={"s2t_model_file": "valid.acc.ave.pth"},
        yaml_files={"s2t_train_config": "config.yaml"},
        option=["bpe.model"],
        outpath=tmp_path / "owsm.zip",
    )
    words = ["adopt", str(tmp_path / "owsm.zip"), "--out", str(tmp_path / "t")]
    assert main(words) == 1 and "give --lang, as --lang eng" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()
    for lang in ("eng", "deu", "deu"):  # unpacked once, told anew
        assert main([*words, "--lang", lang]) == 0
        assert read_json(tmp_path / "t/kdasr.json")["prompt"] == {"lang": f"<{lang}>", "task": "<asr>"}
    given = ("--beam", 2, "--ctc_weight", 0)
    assert run("decode", root, tmp_path / "packed", *given, model=tmp_path / "t") == 0
    assert run("decode", root, tmp_path / "own", *given, "--lang", "deu") == 0
    assert (tmp_path / "packed/score").read_text() == (tmp_path / "own/score").read_text()


def test_what_is_refused(place, tmp_path, capsys):
    root, said = place

    def refused(*words):
        assert main([str(word) for word in words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    (tmp_path / "long").mkdir()
    soundfile.write(tmp_path / "long/z.wav", np.zeros(12001), models.RATE)
    write_table(tmp_path / "long/wav.scp", {"z": f"{tmp_path}/long/z.wav"})
    words = ("decode", "--out", tmp_path / "o", "--lang", "eng", "--data")
    long = refused(*words, tmp_path / "long", "--model", root / "model")
    assert "z: has 1.5 s, and" in long and "which hears 1.5 s; cut it into utterances (segments)" in long
    lm = ("--lm", tmp_path / "lm")
    assert main(["tokens", "--model", str(root / "model"), "--out", str(tmp_path / "tokens")]) == 0
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm/valid.loss.ave.pth").write_text("")
    listed = read_lines(tmp_path / "tokens/tokens.txt")
    config = {"lm": "seq_rnn", "lm_conf": {}, "token_list": listed}
    (tmp_path / "lm/config.yaml").write_text(yaml.safe_dump(config))
    with_lm = refused(*words, root / "audio", "--model", root / "model", *lm)
    assert "is an S2T model, which kdasr decodes alone" in with_lm
    alone = "teaches by what kdasr nbest, decode and soft write of it alone"
    pruned = ("prune", "--model", root / "model", "--out", tmp_path / "p", "--sparsity", 0.5)
    assert alone in refused(*pruned)
    (root / "audio/text").write_text("".join(f"{key} ONE\n" for key in said))
    aligned = ("frames", "align", "--model", root / "model", "--data", root / "audio", "--out", tmp_path / "a")
    assert "is an S2T model, which kdasr makes no alignments with" in refused(*aligned)
    with pytest.raises(UserError, match=alone):
        Teachers([str(root / "model")], "arithmetic", [], [])
    models.write_model(tmp_path / "rates", preprocessor_conf={"fs": 16000, "last_time_symbol": "<1.50>"})
    rates = refused(*words, root / "audio", "--model", tmp_path / "rates")
    assert "frontend_conf has audio of 8000 Hz, preprocessor_conf of 16000" in rates
    asr = tmp_path / "asr"
    asr.mkdir()
    (asr / "config.yaml").write_text(yaml.safe_dump({"input_size": 8, "token_list": ["<blank>", "<unk>", "<sos/eos>"]}))
    (asr / "valid.acc.ave.pth").write_text("")
    assert "--lang, --task: " in refused(*words, root / "audio", "--model", asr)


def test_perplexity(place, tmp_path):
    root, said = place
    model, _ = load_model(root / "model", s2t=True)
    tokens = of_model(root / "model")
    text = {key: "ONE TWO" if key == "a" else "SIX" for key in said}
    write_table(root / "audio/text", text)
    words = ["--model", root / "model", "--data", root / "audio", "--out", tmp_path / "ppl.json", "--lang", "deu"]
    assert main(["ppl", *map(str, words)]) == 0
    nll, count = 0.0, 0
    for key, line in text.items():
        (steps,) = models.by_hand(model, said[key], ["<deu>", "<asr>"], [tokens.split(line)])
        wanted = [*tokens.encode(line), len(tokens) - 1]
        nll -= sum(steps[step, token] for step, token in enumerate(wanted))
        count += len(wanted)
    found = read_json(tmp_path / "ppl.json")
    assert (found["tokens"], found["unknown"]) == (count, 0)
    np.testing.assert_allclose(found["nll"], nll, rtol=1e-4)
