import numpy as np
import pytest

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.lm.text import Words, build, load_vocabulary, read_stream, streams


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(" the cat sat \nthe <unk> sat on the mat\na dog sat\n")
    return path


def test_words_are_in_order_of_their_counts(text):
    assert build([text]).list == ["<blank>", "<unk>", "sat", "the", "a", "cat", "dog", "mat", "on", "<sos/eos>"]
    limited = build([text], size=4, min_count=2)
    assert limited.list == ["<blank>", "<unk>", "<rnn_unk>", "sat", "the", "<sos/eos>"]
    assert limited.rare == {"a": 1, "cat": 1}
    assert limited.encode("the cat bit a dog") == [4, 2, 1, 2, 1]
    assert limited.log_share["cat"] == pytest.approx(np.log(0.5))


def test_a_stream_ends_every_line(text):
    words = build([text])
    found = read_stream(text, words)
    assert found.ids.tolist() == [3, 5, 2, 9, 3, 1, 2, 8, 3, 7, 9, 4, 6, 2, 9]
    assert found.unknown == 1 and found.ids.dtype == np.int32
    words, target = streams(found.ids[:12], 4, 9)  # each word with the one before it
    assert target.tolist() == [[3, 5, 2], [9, 3, 1], [2, 8, 3], [7, 9, 4]]
    assert words.tolist() == [[9, 3, 5], [2, 9, 3], [1, 2, 8], [3, 7, 9]]


def test_a_directory_is_read_as_written(text, tmp_path, capsys):
    out = tmp_path / "words"
    command = ["lm", "words", "--text", str(text), "--size", "4", "--min_count", "2", "--out", str(out)]
    assert main(command) == 0
    assert load_vocabulary(out) == build([text], 4, 2)
    assert main(command) == 0 and "are there already" in capsys.readouterr().out
    assert main([*command, "--size", "5"]) == 1
    assert "made from another text or with other options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"train\.txt: is empty"),
        (b"a b\n\nc\n", r"train\.txt:2: an empty line"),
        (b"a b\n \t\n", r"train\.txt:2: an empty line"),
        (b"a b\nc \xff\n", r"train\.txt:2: not UTF-8"),
        (b"a <sos/eos>\n", r"holds the word <sos/eos>, which is reserved"),
    ],
)
def test_texts_that_are_none_are_refused_by_line(text, content, message):
    text.write_bytes(content)
    with pytest.raises(UserError, match=message):
        build([text])


def test_a_vocabulary_that_does_not_cover_the_text_is_refused_by_its_first_line(text, tmp_path):
    words = Words(["<blank>", "<unk>", "the", "sat", "<sos/eos>"])
    with pytest.raises(UserError, match=r"train\.txt:1: cat is not among the 5 words of the vocabulary, as 33\.3 %"):
        read_stream(text, words)
    assert read_stream(text, words, most_unknown=0.5).unknown == 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokens.txt", "<blank>\n<unk>\na\na\n<sos/eos>\n", "each word once"),
        ("rare.txt", "dog\n", r"rare\.txt:1: expected 'WORD COUNT', found 'dog'"),
        ("rare.txt", "dog 0\n", r"rare\.txt:1: expected 'WORD COUNT'"),
    ],
)
def test_spoiled_directories_are_refused(text, tmp_path, name, content, message):
    out = tmp_path / "words"
    assert main(["lm", "words", "--text", str(text), "--min_count", "2", "--out", str(out)]) == 0
    (out / name).write_text(content)
    with pytest.raises(UserError, match=message):
        load_vocabulary(out)
