"""Teachers' distributions, stored once."""

import numpy as np
import pytest
import torch
from lm_world import network

from kdasr.cli import main
from kdasr.lm.model import load
from kdasr.lm.piece import OnlineTeachers, backward
from kdasr.lm.settings import LmSettings
from kdasr.lm.soft import StoredTeacher, storage, store
from kdasr.lm.text import streams
from kdasr.networks.awd import AwdLstm


def test_all_words_stored_are_the_teacher_online(tmp_path):
    ids = np.random.default_rng(0).integers(0, 11, 40).astype(np.int32)
    teachers, text = [network(1), network(2)], tmp_path / "text"
    text.write_text("x")
    store(teachers, ids, 11, None, tmp_path)
    stored = stored_teacher(tmp_path, text)
    online = OnlineTeachers(teachers)
    online.restart(1)
    words, target = (torch.from_numpy(side) for side in streams(ids, 1, 10))
    losses = []
    for teacher in (stored, online):
        teacher.read(words, 0, 40)
        model = network()
        losses.append(backward(model, words, target, model.zero(1), LmSettings(objective="trust"), teacher)[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # half precision on the one side


def test_stored_rows_are_those_of_their_place_in_the_text(tmp_path):
    ids = np.random.default_rng(0).integers(0, 11, 24).astype(np.int32)
    teacher, text = network(1), tmp_path / "text"
    text.write_text("x")
    store([teacher], ids, 3, None, tmp_path)
    stored = stored_teacher(tmp_path, text)
    logq = teacher(torch.from_numpy(streams(ids, 1, 10)[0]), None)[0][0]  # (24, V)
    # words 5 to 7 of two streams of 12 tokens
    stored.read(torch.zeros(2, 3, dtype=torch.long), 5, 12)
    places = [5, 6, 7, 17, 18, 19]
    kept, values, gold, best = stored.rows(1, 6, torch.zeros(0))
    expected = logq[places[1:]]
    assert kept.tolist() == expected.topk(3).indices.tolist()
    torch.testing.assert_close(values, expected.topk(3).values, rtol=0, atol=2e-3)
    torch.testing.assert_close(gold, expected[range(5), ids[places[1:]]], rtol=1e-4, atol=1e-5)
    assert best.tolist() == (expected.argmax(-1).numpy() == ids[places[1:]]).tolist()


def test_draws_follow_the_distribution(tmp_path):
    ids = np.zeros(1, dtype=np.int32)
    teacher = network(1)
    store([teacher], ids, 20_000, 7, tmp_path)
    drawn = np.load(tmp_path / "ids.npy")[0]
    shares = torch.from_numpy(np.bincount(drawn, minlength=11) / len(drawn)).float()
    torch.testing.assert_close(shares, teacher(torch.tensor([[10]]), None)[0][0, 0].exp(), rtol=0, atol=0.01)
    assert not (tmp_path / "logq.npy").exists()


def test_draws_are_made_anew_for_each_word_and_by_their_seed(tmp_path):
    """With replacement: a word may be there twice. As many of each word as its probabilities say, over all tokens."""
    ids = np.random.default_rng(3).integers(0, 11, 400).astype(np.int32)
    teacher, drawn = network(1), []
    for number, seed in enumerate((7, 7, 8)):
        (tmp_path / str(number)).mkdir()
        store([teacher], ids, 8, seed, tmp_path / str(number))
        drawn.append(np.load(tmp_path / str(number) / "ids.npy"))
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert any(len(set(row)) < 8 for row in drawn[0].tolist())
    p = teacher(torch.from_numpy(streams(ids, 1, 10)[0]), None)[0][0].exp().mean(0).detach().numpy()
    np.testing.assert_allclose(np.bincount(drawn[0].ravel(), minlength=11) / 3200, p, atol=0.035)  # 4 deviations


def test_pieces_and_slices_change_nothing_that_is_stored(tmp_path, monkeypatch):
    ids = np.random.default_rng(3).integers(0, 11, 40).astype(np.int32)
    teachers = [network(1), network(2)]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        store(teachers, ids, 4, None, tmp_path / name)
        monkeypatch.setattr("kdasr.lm.soft.STEPS", 7)
        monkeypatch.setattr("kdasr.lm.piece.SLICE", 3 * teachers[0].experts * 11)
    for name in ("ids", "gold", "best", "logq"):
        whole, cut = (np.load(tmp_path / kind / f"{name}.npy") for kind in ("whole", "cut"))
        assert whole.dtype == cut.dtype
        np.testing.assert_allclose(whole.astype(float), cut.astype(float), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("words", [40_000, 65_536, 65_537])
def test_numbers_of_all_words_fit_where_they_are_stored(tmp_path, words):
    model = AwdLstm(words, embed=1, hidden=1, last=1, layers=1, experts=1).eval()
    store([model], np.array([words - 1], dtype=np.int32), words, None, tmp_path)
    assert (np.sort(np.load(tmp_path / "ids.npy")[0].astype(int)) == np.arange(words)).all()


def test_stored_targets_are_known_by_all_they_were_made_from(corpus, tmp_path, capsys):
    out = str(tmp_path / "soft")
    teachers = [str(corpus / "teacher1"), str(corpus / "teacher2")]
    base = {
        "--teachers": teachers,
        "--text": [str(corpus / "valid.txt")],
        "--kept": ["3"],
        "--draws": [],
        "--seed": ["4"],
    }

    def call(options):
        return main(["lm", "soft", *(word for key, values in options.items() for word in (key, *values)), "--out", out])

    assert call(base) == call(base) == 0
    plain = {key: value for key, value in base.items() if key != "--draws"}
    for changed in (
        base | {"--teachers": teachers[::-1]},
        base | {"--teachers": teachers[:1]},
        base | {"--text": [str(corpus / "train.txt")]},
        base | {"--kept": ["4"]},
        base | {"--seed": ["5"]},
        plain,
    ):
        capsys.readouterr()
        assert call(changed) == 1, changed
        assert "soft: holds other targets" in capsys.readouterr().err
    from kdasr.errors import UserError

    words = load(corpus / "teacher1")[1]
    (tmp_path / "other.txt").write_text("x\n")
    for text, listed, said in (
        (tmp_path / "other.txt", words, "targets of another text"),
        (corpus / "valid.txt", words[1:], "targets over 11 words, but the student has 10"),
        (corpus / "valid.txt", [*words, "x"], "targets over 11 words, but the student has 12"),
    ):
        with pytest.raises(UserError, match=said):
            StoredTeacher(out, text, listed, torch.device("cpu"))
    StoredTeacher(out, corpus / "valid.txt", words, torch.device("cpu"))


def test_storage_is_told_before():
    told = "storing 85 bytes a token (20 x 2 for words, 20 x 2 for their probabilities, 5 for the text's), 79.0 MB"
    assert storage(929_589, 20, 10_000, draws=False).startswith(told)
    assert "20 x 4 for words, 5 for" in storage(1, 20, 70_000, draws=True)


def stored_teacher(directory, text):
    from kdasr.files import write_json
    from kdasr.shards import digest

    draws = None if (directory / "logq.npy").exists() else 1
    write_json(directory / "soft.json", {"text": digest(text), "vocabulary": 11, "draws": draws})
    return StoredTeacher(directory, text, ["w"] * 11, torch.device("cpu"))
