"""Lines of long files by their keys."""

import os
import random
import threading

import numpy as np
import pytest

from kdasr import keyed
from kdasr.errors import UserError
from kdasr.files import read_lines, read_table
from kdasr.keyed import Keyed, first_twice, hashes_of, rows, table
from kdasr.score.trn import UTTERANCE

LINES = ["b 1", "a  2 3", "\u00e9 4", "c", "B 5"]


def written(tmp_path, text, name="t"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("text", ["\n".join(LINES) + "\n", "\ufeff" + "\r\n".join(LINES), "a 1\n", "\ufeffa 1"])
def test_lines_are_those_of_read_lines_in_any_order(tmp_path, text, monkeypatch):
    monkeypatch.setattr(keyed, "SOME", 2)
    path = written(tmp_path, text)
    lines = read_lines(path)
    with table(path, empty=True) as whole:
        assert dict(rows(whole)) == read_table(path, empty=True)
        for seed in range(5):
            order = random.Random(seed).sample(range(len(lines)), len(lines))
            assert list(whole.read(np.array(order, dtype=np.int32))) == [lines[place] for place in order]
        keys = [line.split()[0] for line in lines]
        assert whole.find(hashes_of([*keys[::-1], "z"])).tolist() == [*range(len(lines) - 1, -1, -1), -1]
        assert whole.in_order(lambda line: line.split()[0]).tolist() == sorted(
            range(len(keys)), key=lambda place: keys[place].encode()
        )
        assert whole.rising == (keys == sorted(keys, key=str.encode)) and whole.ended == text.endswith("\n")


def test_lines_that_are_passed_over(tmp_path):
    path = written(tmp_path, ";; x\na (s-1)\n\nb (s-2)\n;; y\nc (s-3)\n")

    def key_of(number, line):
        return None if line.startswith(";;") or not line else UTTERANCE.fullmatch(line)[2]

    with Keyed(path, key_of) as whole:
        assert list(whole.read(np.arange(3))) == ["a (s-1)", "b (s-2)", "c (s-3)"]
        assert whole.numbers.tolist() == [2, 4, 6] and len(whole) == 3
        assert list(whole.read(np.array([2, 0]))) == ["c (s-3)", "a (s-1)"]


def test_errors_are_those_of_read_table(tmp_path):
    twice = ("a 1\nb 2\nc 3\nb 4\na 5\n", "a 1\na 2\n")
    for text in (*twice, "a 1\n\n", "a 1\nb\n", b"a 1\n\xff 2\n", "a 1\nb \0\n", " \n"):
        path = written(tmp_path, text)
        said = []
        for read in (read_table, table):
            with pytest.raises(UserError) as error:
                read(path)
            said.append(str(error.value))
        assert said[0] == said[1]
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError) as error:
            table(path)
        with pytest.raises(UserError) as other:
            read_table(path)
        assert str(error.value) == str(other.value)


def test_an_empty_file_and_a_pipe(tmp_path):
    for text in ("", "\ufeff"):
        with table(written(tmp_path, text)) as whole:
            assert len(whole) == 0 and not list(rows(whole)) and whole.find(hashes_of(["a"])).tolist() == [-1]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("b 1\na 2\n"))
    writer.start()
    reader = os.open(pipe, os.O_RDONLY)  # as a shell's <(...): open for writing by the time that it is named
    with table(f"/dev/fd/{reader}") as whole:
        assert list(rows(whole, np.array([1, 0]))) == [("a", "2"), ("b", "1")]
    writer.join()
    os.close(reader)


def test_the_first_that_is_there_twice():
    assert first_twice(hashes_of("abcdef")) is None and first_twice(hashes_of([])) is None
    assert first_twice(hashes_of("abcbaa")) == (3, 1)
    assert first_twice(hashes_of("xaab")) == (2, 1)
