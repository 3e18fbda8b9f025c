"""decode.json's mode probability: that of the best hypotheses, led along by the decoder again."""

import pytest
import search_models as models
import torch
from nbest_models import LENGTHS, write_place

from kdasr.cli import main
from kdasr.files import read_json, read_table
from kdasr.nbest.archive import read_nbest
from kdasr.nbest.best import mode_probability
from kdasr.search.perplexity import costs


@pytest.mark.parametrize("beam", [1, 3])
def test_it_is_the_mean_of_what_the_decoder_gives(tmp_path, beam):
    root, model, features = write_place(tmp_path)
    out = tmp_path / "out"
    words = ["decode", "--model", root / "model", "--data", root / "data", "--out", out, "--beam", beam]
    assert main(list(map(str, words))) == 0
    best = {record["id"]: record["hyps"][0] for record in read_nbest(out / "shards")}
    for table, what in [
        ("text", lambda hyp: hyp["text"].rstrip()),
        ("token", lambda hyp: " ".join(models.TOKENS[token] for token in hyp["tokens"])),
        ("token_int", lambda hyp: " ".join(str(token) for token in hyp["tokens"])),
        ("score", lambda hyp: str(hyp["score"])),
    ]:
        assert read_table(out / table, empty=True) == {key: what(hyp) for key, hyp in best.items()}
    assert any(hyp["score"] != hyp["scores"].get("decoder") for hyp in best.values())
    ended = {key: hyp["ended"] for key, hyp in best.items()}
    summed = 0.0
    for i, x in enumerate(features):
        if ended[f"utt{i}"] == "eos":
            with torch.no_grad():
                hs, _ = model.encode(x[None].clone(), torch.tensor([len(x)]))
            tokens = [int(token) for token in read_table(out / "token_int", empty=True)[f"utt{i}"].split()]
            summed += torch.exp(-costs(model, [hs[0]], [tokens])).item()
    assert sum(kind == "eos" for kind in ended.values()) > 0
    assert read_json(out / "decode.json")["mode_probability"] == pytest.approx(summed / len(LENGTHS), rel=1e-4)


def test_what_was_cut_off_counts_as_nothing_and_ctc_alone_has_none():
    hyps = [{"scores": {"decoder": -1.0}, "ended": "eos"}, {"scores": {"decoder": 0.0}, "ended": "maxlen"}]
    assert mode_probability([*hyps, {"scores": {}, "ended": "none"}]) == pytest.approx(0.36788 / 3, rel=1e-4)
    assert mode_probability([{"scores": {"ctc": -1.0}, "ended": "eos"}]) is None
