"""Texts of targets, on disk."""

import pytest

from kdasr.errors import UserError
from kdasr.targets.texts import Texts


def test_several_texts_are_one(tmp_path):
    (tmp_path / "a").write_text("u2 x y\nu1 z\n")
    (tmp_path / "b").write_text("u3 w\nu1 z\n")
    names = [str(tmp_path / name) for name in "ab"]
    with Texts(names, "--refs") as texts:
        assert list(texts.items()) == [("u2", "x y"), ("u1", "z"), ("u3", "w")]
        assert texts.of(["u1", "u9", "u3"]) == {"u1": "z", "u3": "w"} and texts.of([]) == {}
    with Texts([], "--refs") as texts:
        assert not list(texts.items()) and texts.of(["u1"]) == {}
    (tmp_path / "b").write_text("u3 w\nu1 other\n")
    with pytest.raises(UserError, match="b: u1 has another text in another file of --refs; leave one"):
        Texts(names, "--refs")
