"""Which utterances CTC cannot fit: those to which torch's own loss gives no number."""

import numpy as np
import pytest
import torch
import yaml
from tiny_training import CONFIG, train, write_place

from kdasr.asr.fit import frames_needed, too_short
from kdasr.asr.trainer import needed_frames
from kdasr.data.tokens import load_tokens
from kdasr.files import read_json, read_table, write_json, write_table
from kdasr.networks.load import register

WIDE = 24  # bins: what the deepest subsampling needs
NETWORKS = {
    "own": {},
    "transformer": {
        "encoder": "transformer",
        "encoder_conf": {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1},
    },
    "six": {
        "encoder": "transformer",
        "encoder_conf": {
            "output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1, "input_layer": "conv2d6",
        },
    },
    "vgg": {"encoder": "vgg_rnn", "encoder_conf": {"hidden_size": 8, "output_size": 8, "num_layers": 1}},
    "none": {"encoder": "rnn", "encoder_conf": {"hidden_size": 8, "output_size": 8, "num_layers": 1, "subsample": [1]}},
}  # fmt: skip


def test_frames_that_a_text_needs():
    assert [frames_needed(ids) for ids in ([], [3], [3, 4], [3, 3], [3, 3, 3, 4, 3])] == [0, 1, 2, 3, 7]


def built(**changes):
    from kdasr.asr.task import KDTask

    args = KDTask.get_parser().parse_args([])
    for name, value in (CONFIG | {"token_list": list("-ABCDE"), "input_size": WIDE} | changes).items():
        setattr(args, name, value)
    return register().build_model(args).eval()


@pytest.mark.parametrize("kind", NETWORKS)
def test_they_are_those_whose_loss_is_infinite(kind):
    model = built(**NETWORKS[kind])
    random = np.random.default_rng(0)
    frames, tokens = {}, {}
    for number in range(150):
        key = f"u{number}"
        frames[key] = int(random.integers(1, 90))
        tokens[key] = random.integers(1, 5, int(random.integers(1, 30))).tolist()
    expected = []
    for key, ids in tokens.items():
        try:
            with torch.no_grad():
                hs, lengths = model.encode(torch.zeros(1, frames[key], WIDE), torch.tensor([frames[key]]))
                logp = model.ctc.log_softmax(hs).transpose(0, 1)
            loss = torch.nn.functional.ctc_loss(logp, torch.tensor([ids]), lengths, torch.tensor([len(ids)]))
            finite = bool(torch.isfinite(loss))
        except Exception:  # shorter than the network takes
            finite = False
        if not finite:
            expected.append(key)
    assert 10 < len(expected) < 140
    assert too_short(model, WIDE, frames, {key: frames_needed(ids) for key, ids in tokens.items()}) == expected


@pytest.mark.parametrize("more, label", [((), "teacher"), (("--label", "the  large one"), "the  large one")])
def test_they_are_counted_before_the_training(tmp_path, capsys, more, label):
    place = write_place(tmp_path, max_epoch=1)
    write_json(tmp_path / "m/seconds.json", {"wall": 1000.0, "cpu": 300.0, "interrupted": 1, "running": True})
    keys = list(read_table(place / "train/feats.scp"))
    texts = dict.fromkeys(keys, "AB") | {keys[3]: "A" * 40, keys[5]: "AB" * 30}
    write_table(place / "train/text", texts)
    config = yaml.safe_load((place / "c.yaml").read_text())
    refs = ["train", "--config", place / "c.yaml", "--train", place / "train", "--valid", place / "valid"]
    from kdasr.cli import main

    assert main([str(word) for word in [*refs, "--tokens", place / "char", "--out", tmp_path / "m", *more]]) == 0
    said = capsys.readouterr().out
    assert (
        f"2 of {len(keys)} utterances have more tokens than the encoder gives frames, as {keys[3]} (79 needed)" in said
    )
    record, spent = read_json(tmp_path / "m/kdasr.json"), read_json(tmp_path / "m/seconds.json")
    assert record["ctc_unfit"] == 2 and record["interrupted"] == 2
    assert record["train_seconds"] == pytest.approx(spent["wall"], abs=0.2) and record["train_seconds"] > 1000
    assert record["cpu_seconds"] == pytest.approx(spent["cpu"], abs=0.2) and 300 < record["cpu_seconds"] < 1000
    assert (record["role"], record["label"], record["teacher"], record["seed"]) == ("teacher", label, None, 1)
    # of targets, a hypothesis that is not the best one counts, too, unless CTC learns the best alone
    ids = read_table(place / "targets/hyps")
    lens = read_table(place / "targets/hyp_lens")
    write_table(place / "targets/hyps", ids | {keys[2]: " ".join(["2", *["3"] * 90])})
    write_table(place / "targets/hyp_lens", lens | {keys[2]: "1 90"})
    write_table(place / "targets/weights", read_table(place / "targets/weights") | {keys[2]: "0.9 0.1"})
    lists = tmp_path / "lists"
    for name in ("hyps", "hyp_lens"):
        write_table(lists / name, read_table(place / "targets" / name))
    write_table(lists / "text", {keys[2]: "A"})
    tokens = load_tokens(place / "char")
    assert needed_frames(lists, tokens, None)[keys[2]] == needed_frames(lists, tokens, "all")[keys[2]] == 179
    assert needed_frames(lists, tokens, "best") == {keys[2]: 1}
    config["model_conf"]["ctc_weight"] = 0.0
    (place / "c.yaml").write_text(yaml.safe_dump(config))
    assert train(place, tmp_path / "attention", "--label", "mine", "--teacher", "T", "--seed", 4) == 0
    record = read_json(tmp_path / "attention/kdasr.json")
    assert (record["role"], record["label"], record["teacher"], record["seed"]) == ("student", "mine", "T", 4)
    assert "ctc_unfit" not in record and "interrupted" not in record
    assert "more tokens than" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["own", "none"])
def test_as_many_frames_as_it_needs_are_enough(kind):
    """At every length, one more is too many; whoever else is asked for, and in the order that they stand in."""
    model = built(**NETWORKS[kind])
    lengths = {
        frames: int(model.encode(torch.zeros(1, frames, WIDE), torch.tensor([frames]))[1][0]) for frames in range(1, 41)
    }
    frames = {f"{kind}{size}{more}": size for size in lengths for more in "+0"}
    needed = {key: lengths[size] + (key[-1] == "+") for key, size in frames.items()}
    assert too_short(model, WIDE, frames, needed) == [key for key in frames if key[-1] == "+"]
    for key in (f"{kind}40+", f"{kind}1+", f"{kind}23+"):
        assert too_short(model, WIDE, frames, {key: needed[key]}) == [key]
        assert too_short(model, WIDE, frames, {key: needed[key] - 1}) == []
    assert too_short(model, WIDE, frames, {}) == []
