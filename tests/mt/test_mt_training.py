"""`kdasr train --src_tokens`: a translator on references, a student on what it writes; and what is refused."""

import json
import shutil

import pytest
import torch
import yaml
from mt_models import MODELS, OWN, TO_LUONG, draw, write_data

from kdasr.cli import main
from kdasr.files import read_table
from kdasr.networks.load import load_model, register_mt

CONFIG = {
    **OWN,
    **TO_LUONG,
    "model_conf": {"lsm_weight": 0.1},
    "optim": "adam",
    "optim_conf": {"lr": 0.01},
    "batch_type": "numel",
    "batch_bins": 2000,
    "max_epoch": 2,
    "num_workers": 0,
    "best_model_criterion": [["valid", "acc", "max"]],
    "keep_nbest_models": 1,
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
}
OPTIONS = {"config": "c.yaml", "train": "train", "valid": "valid", "tokens": "target", "src_tokens": "source"}


def write_place(root):
    """c.yaml, train, valid, and the tokens of both sides."""
    (root / "c.yaml").write_text(yaml.safe_dump(CONFIG))
    write_data(root / "train", draw(24))
    write_data(root / "valid", {f"v{key}": pair for key, pair in draw(6, seed=4).items()})
    for side, text in (("source", "text.src"), ("target", "text")):
        assert main(["tokens", "--text", f"train/{text}", "--out", side]) == 0
    return root


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_place(tmp_path)


def train(out, *more, **changes):
    given = {**OPTIONS, **changes}
    return main(
        ["train", *(word for key, value in given.items() if value for word in (f"--{key}", value)), "--out", out, *more]
    )


def test_a_translator_and_a_student_of_it(place, capsys):
    assert train("exp/teacher") == 0
    record = json.loads((place / "exp/teacher/kdasr.json").read_text())
    assert {"src_tokens/tokens.txt", "tokens/tokens.txt"} <= record["sha256"].keys()
    lists = place / "exp/teacher/data/train"
    assert read_table(lists / "text.src") == read_table(place / "train/text.src")
    lengths = {key: str(len(text)) for key, text in read_table(place / "train/text.src").items()}
    assert read_table(lists / "src_text_shape") == lengths
    model, _ = register_mt().build_model_from_file("exp/teacher/config.yaml", "exp/teacher/valid.acc.ave.pth")
    assert model.state_dict().keys() == load_model("exp/teacher")[0].state_dict().keys()

    teacher = ["--model", "exp/teacher"]
    given = ["--maxlenratio", "-8", "--minlenratio", "-1", "--nbest", "3"]
    assert main(["nbest", *teacher, "--data", "train", "--out", "nbest", *given]) == 0
    assert main(["targets", "--nbest", "nbest", "--tokens", "target", "--out", "targets"]) == 0
    assert "for its audio" not in capsys.readouterr().out and len(read_table("targets/text")) > 12  # of 24
    assert main(["soft", *teacher, "--targets", "targets", "--data", "train", "--kept", "4"]) == 0
    learnt = ["--targets", "targets", "--role", "student", "--kd"]
    assert train("exp/stored", *learnt, "word_weight=0.5") == 0
    assert train("exp/live", *learnt, "word_weight=0.5", "teachers=[exp/teacher]", "soft_k=4") == 0
    stored, live = (torch.load(f"exp/{name}/valid.acc.ave.pth") for name in ("stored", "live"))
    for key, weight in stored.items():  # the same distributions, from a table and from the teacher itself
        torch.testing.assert_close(weight, live[key], rtol=1e-3, atol=1e-3)
    assert main(["prune", "--model", "exp/stored", "--sparsity", "0.5", "--out", "exp/pruned"]) == 0
    assert (place / "exp/pruned/src_tokens/tokens.txt").is_file()
    shutil.rmtree("target")
    assert main(["decode", "--model", "exp/pruned", "--data", "valid", "--out", "decoded"]) == 0
    assert len(read_table(place / "decoded/text", empty=True)) == 6
    assert main(["adopt", "exp/teacher", "--out", "exp/adopted"]) == 0
    assert (place / "exp/adopted/src_tokens").is_dir()
    made = place / "exp/teacher/src_tokens/tokens.json"
    made.write_text(made.read_text().replace('"char"', '"word"'))
    assert main(["decode", *teacher, "--data", "valid", "--out", "other"]) == 1
    assert "src_tokens/tokens.json: was changed after the training ended" in capsys.readouterr().err


def test_what_a_model_depends_on(place, capsys):
    assert train("exp/m", "--", "--max_epoch", "1") == 0
    assert train("exp/m", "--", "--max_epoch", "1") == 0
    assert "trained already" in capsys.readouterr().out
    sentences = read_table(place / "train/text.src")
    (place / "train/text.src").write_text("".join(f"{key} {text}a\n" for key, text in sentences.items()))
    assert train("exp/m", "--", "--max_epoch", "1") == 1
    assert "exp/m: holds a model of other train;" in capsys.readouterr().err
    write_data(place / "train", draw(24))
    assert main(["tokens", "--text", "train/text.src", "--out", "pieces", "--type", "bpe", "--vocab", "14"]) == 0
    assert train("exp/m", "--", "--max_epoch", "1", src_tokens="pieces") == 1
    assert "exp/m: holds a model of other source token type, source tokens;" in capsys.readouterr().err


def drop_source(place):
    (place / "train/text.src").unlink()


def drop_some(place):
    lines = (place / "train/text.src").read_text().splitlines(keepends=True)
    (place / "train/text.src").write_text("".join(lines[:-1]))


def drop_some_valid(place):
    lines = (place / "valid/text.src").read_text().splitlines(keepends=True)
    (place / "valid/text.src").write_text("".join(lines[1:]))


def other_symbols(place):
    shutil.rmtree(place / "source")
    (place / "symbols").write_text("<x>\n")
    assert main(["tokens", "--text", "train/text.src", "--nlsyms", "symbols", "--out", "source"]) == 0


def front_end(name):
    return lambda place: (place / "c.yaml").write_text(
        yaml.safe_dump({**CONFIG, "frontend": name, "frontend_conf": {}})
    )


@pytest.mark.parametrize(
    ("damage", "changes", "words"),
    [
        (drop_source, {}, "train: holds no text.src, and c.yaml takes source text; make its data directory first"),
        (drop_some, {}, "train: u23 (and 0 more) has no source text; add its set to --train"),
        (drop_some_valid, {}, "valid: vu00 has text, and no source text"),
        (lambda place: (place / "train/text").unlink(), {}, "train: has no text;"),
        (
            lambda place: None,
            {"src_tokens": None},
            "c.yaml: frontend lookup reads source text; name its token directory",
        ),
        (front_end("default"), {}, "c.yaml: frontend is default, and source text takes one of embed, lookup"),
        (
            lambda place: None,
            {"src_tokens": "target", "tokens": "source"},
            "--tokens source: was made of train/text.src",
        ),
        (lambda place: None, {"src_tokens": "target"}, "--src_tokens target: was made of train/text, the other side"),
        (other_symbols, {}, "source: has other words that are one token (nlsyms.txt) than target"),
        (lambda place: (place / "train/text.src").write_bytes(b"u00 \xe4\n"), {}, "text.src:1: not UTF-8"),
    ],
)
def test_what_cannot_be_trained_on(place, capsys, damage, changes, words):
    damage(place)
    assert train("exp/m", **changes) == 1
    assert words in capsys.readouterr().err
    assert not (place / "exp/m/kdasr.json").exists()


def test_a_start_from_a_model_that_reads_other_tokens(place, capsys):
    assert train("exp/one", "--", "--max_epoch", "1") == 0
    assert train("exp/two", "--init", "exp/one", "--", "--max_epoch", "1") == 0
    assert json.loads((place / "exp/two/init.json").read_text())["not_copied"] == []
    letters = str.maketrans("abcdefgh", "hgfedcba")
    turned = {key: (source.translate(letters), target) for key, (source, target) in draw(24).items()}
    write_data(place / "train", turned)
    assert main(["tokens", "--text", "train/text.src", "--out", "other"]) == 0
    assert train("exp/three", "--init", "exp/one", "--", "--max_epoch", "1", src_tokens="other") == 1
    assert "exp/one: has as many tokens as the student, but others;" in capsys.readouterr().err


def test_there_is_no_ctc_to_learn(place, capsys):
    assert train("exp/m", "--kd", "ctc_word_weight=0.5") == 1
    assert "kd_conf: ctc_word_weight: a model that translates has no CTC branch; remove it" in capsys.readouterr().err


def test_a_list_of_both_sides_serves_either(place):
    assert main(["tokens", "--text", "train/text.src", "train/text", "--out", "both"]) == 0
    assert train("exp/m", "--", "--max_epoch", "1", tokens="both", src_tokens="both") == 0


def test_a_student_of_another_target_vocabulary(place, capsys):
    assert train("exp/teacher", "--", "--max_epoch", "1") == 0
    assert main(["nbest", "--model", "exp/teacher", "--data", "train", "--out", "nbest"]) == 0
    assert (
        main(["tokens", "--text", "train/text", "valid/text", "--out", "other", "--type", "bpe", "--vocab", "14"]) == 0
    )
    capsys.readouterr()
    assert main(["targets", "--nbest", "nbest", "--tokens", "other", "--out", "targets"]) == 1
    assert "nbest: was decoded with another token list than other; name the teacher's" in capsys.readouterr().err
    learnt = ["--role", "student", "--kd", "word_weight=0.5", "teachers=[exp/teacher]"]
    assert train("exp/student", *learnt, tokens="other") == 1
    assert "this teacher has another token list than its student" in capsys.readouterr().err
    assert main(["tokens", "--text", "train/text.src", "--out", "pieces", "--type", "bpe", "--vocab", "14"]) == 0
    assert train("exp/student2", *learnt, src_tokens="pieces") == 1
    assert "exp/teacher: takes source text, the student source text of other tokens" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["rnn_rnn", "transformer_transformer"])
def test_stock_networks_train(place, kind):
    """ESPnet's RNN encoder needs the longest source first in a batch."""
    (place / "c.yaml").write_text(yaml.safe_dump({**CONFIG, **MODELS[kind], "max_epoch": 1}))
    assert train("exp/m") == 0
    assert main(["decode", "--model", "exp/m", "--data", "valid", "--out", "out", "--beam", "2"]) == 0


def test_parts_of_a_set_keep_their_source(place):
    assert main(["data", "folds", "train", "--out", "parts"]) == 0
    source = read_table(place / "train/text.src")
    found = [read_table(path) for path in (place / "parts").rglob("text.src")]
    assert found and all(part.items() <= source.items() for part in found)
