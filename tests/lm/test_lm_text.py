import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

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


def test_rare_words_share_their_class_by_their_counts(text):
    words = build([text], min_count=3)  # sat 3; the 3; a, cat, dog, mat, on 1
    assert words.rare == dict.fromkeys(["a", "cat", "dog", "mat", "on"], 1)
    words = Words(["<blank>", "<unk>", "<rnn_unk>", "the", "<sos/eos>"], {"cat": 3, "dog": 1})
    assert {word: np.exp(share) for word, share in words.log_share.items()} == pytest.approx({"cat": 0.75, "dog": 0.25})
    text.write_text("the cat bit dog the\n")
    found = read_stream(text, words)
    assert found.ids.tolist() == [3, 2, 1, 2, 3, 4] and found.unknown == 1  # a rare word is known


@examples(200)
@given(st.integers(1, 40), st.integers(1, 12))
def test_streams_hold_each_token_once_after_the_one_before_it(tokens, count):
    ids = np.arange(tokens)
    words, target = streams(ids, count, 99)
    size, length = words.shape
    assert length == -(-tokens // count) and size <= count and size * length - tokens < length
    assert words.dtype == target.dtype == np.int64
    assert target.ravel().tolist() == [*ids, *[-1] * (size * length - tokens)]
    assert words.ravel().tolist() == [99, *ids[:-1], *[99] * (size * length - tokens)]


def test_a_share_of_unknown_words_is_of_all_tokens_and_the_limit_is_allowed(text):
    """Two of eight tokens, ends of lines among them; <unk> in the text is known to be so."""
    words = Words(["<blank>", "<unk>", "a", "<sos/eos>"])
    text.write_text("a <unk> <unk>\na b\nc\n")
    assert read_stream(text, words, 2 / 9).unknown == 4
    with pytest.raises(UserError, match=r"train\.txt:2: b is not among the 4 words of the vocabulary, as 22\.2 %"):
        read_stream(text, words, 2 / 9 - 1e-9)


def test_a_vocabulary_is_known_by_all_it_was_made_from(text, tmp_path, capsys):
    more = tmp_path / "more.txt"
    more.write_text("a b\n")
    base = {"--text": [str(text), str(more)], "--size": ["6"], "--min_count": ["2"]}

    def call(options):
        words = [word for name, values in options.items() for word in (name, *values)]
        return main(["lm", "words", *words, "--out", str(tmp_path / "words")])

    assert call(base) == 0
    others = [{"--text": [str(more), str(text)]}, {"--text": [str(text)]}, {"--size": ["7"]}, {"--min_count": ["1"]}]
    for changed in others:
        assert call(base | changed) == 1, changed
        assert "made from another text or with other options" in capsys.readouterr().err
    more.write_text("a c\n")
    assert call(base) == 1


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
        (b"a b\nc\t<blank>\r\n", r"train\.txt:2: holds the word <blank>, which is reserved"),
        (b"a b\n\xc2\xa0\n\r\n", r"train\.txt:3: an empty line"),
        (b"a b\nc \0\n", r"train\.txt:2: holds a NUL byte"),
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
        ("rare.txt", "dog \u00b2\n", r"rare\.txt:1: expected 'WORD COUNT'"),
        ("rare.txt", "dog " + "9" * 5000 + "\n", r"rare\.txt:1: expected 'WORD COUNT'"),
    ],
)
def test_spoiled_directories_are_refused(text, tmp_path, name, content, message):
    out = tmp_path / "words"
    assert main(["lm", "words", "--text", str(text), "--min_count", "2", "--out", str(out)]) == 0
    (out / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_vocabulary(out)


def test_words_are_cut_at_plain_white_space(text, tmp_path):
    plain = build([text])
    lines = text.read_text().replace("the cat", "the\tcat").replace(" sat", "\x0b sat").replace("\n", "\r\n")
    text.write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert build([text]) == plain
    text.write_text("a\u00a0b \u3000 c\n", encoding="utf-8")
    words = build([text])
    assert set(words.list[2:-1]) == {"a\u00a0b", "\u3000", "c"}
    assert read_stream(text, words).unknown == 0
    vocabulary = tmp_path / "words"
    assert main(["lm", "words", "--text", str(text), "--out", str(vocabulary)]) == 0
    assert load_vocabulary(vocabulary) == words


def test_other_things_are_not_replaced(text, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis").write_text("")
    for out in ("mine", "train.txt"):
        assert main(["lm", "words", "--text", str(text), "--out", str(tmp_path / out)]) == 1
        assert f"{out}: holds other things than tokens, which would be lost" in capsys.readouterr().err
    assert (tmp_path / "mine/thesis").exists() and text.is_file()


@pytest.mark.parametrize("name", ["1e3", "yes", "null", "a: b #c"])
def test_names_that_yaml_would_read_otherwise(text, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["lm", "words", "--text", str(text), "--out", name]) == 0
    assert len(load_vocabulary(tmp_path / name)) == 10


def test_a_text_that_is_no_file_is_refused(tmp_path, capsys):
    for name, message in (("none", "none: no such file"), ("", "is a directory, expected a file")):
        assert main(["lm", "words", "--text", str(tmp_path / name), "--out", str(tmp_path / "words")]) == 1
        assert message in capsys.readouterr().err


def test_the_second_text_is_named_where_it_holds_a_reserved_word(text, tmp_path):
    (tmp_path / "more.txt").write_text("a b\nc <rnn_unk>\n")
    with pytest.raises(UserError, match=r"more\.txt:2: holds the word <rnn_unk>"):
        build([text, tmp_path / "more.txt"])
