"""Lines, JSON, subtitles and trn, by hand."""

import json

from kdasr.runtime.formats import written
from kdasr.runtime.recognizer import Alternative, Piece, Transcript, Word


def piece(start, end, *words, more=()):
    text = " ".join(word.word for word in words)
    return Piece(start, end, (Alternative(text, -1.234567, {"ctc": -2.0}), *more), tuple(words))


def word(text, start, end):
    return Word(text, start, end, 0.5)


HELLO = piece(0.0, 2.0, word("hello", 0.1, 0.5), word("world", 0.6, 1.0))
LATER = piece(2.0, 3723.5, word("so", 3722.0, 3723.4567))
LONG = Transcript((HELLO, LATER), 3723.5)


def test_lines():
    assert written("text", "a b.wav", LONG) == "a b.wav\thello world so\n"
    assert written("trn", "s1-u1", LONG) == "hello world so (s1-u1)\n"
    nothing = Transcript((Piece(0.0, 1.0, (Alternative("", 0.0, {}),), ()),), 1.0)
    assert written("text", "a", nothing) == "a\t\n" and written("trn", "a", nothing) == "(a)\n"
    assert written("srt", "a", nothing) == "" and written("vtt", "a", nothing) == "WEBVTT\n\n"


def test_subtitles():
    assert written("srt", "a", LONG) == (
        "1\n00:00:00,100 --> 00:00:01,000\nhello world\n\n2\n01:02:02,000 --> 01:02:03,457\nso\n\n"
    )
    assert written("vtt", "a", LONG) == (
        "WEBVTT\n\n00:00:00.100 --> 00:00:01.000\nhello world\n\n01:02:02.000 --> 01:02:03.457\nso\n\n"
    )


def test_subtitles_end_by_length_time_and_pause():
    letters = [word("abcdefghi", n * 0.3, n * 0.3 + 0.3) for n in range(9)]  # four are 39 letters, five 49
    slow = [word("a", n * 2.5, n * 2.5 + 2.0) for n in range(4)]  # two last 4.5 s, three 7
    paused = [word("a", 0.0, 0.1), word("b", 0.9, 1.0), word("c", 1.81, 2.0)]  # 0.8 and 0.81 s between
    for words, counts in ((letters, [4, 4, 1]), (slow, [2, 2]), (paused, [2, 1])):
        shown = written("vtt", "a", Transcript((piece(0.0, 9.0, *words),), 9.0)).split("\n\n")[1:-1]
        assert [len(one.split("\n")[1].split()) for one in shown] == counts


def test_without_times_a_piece_is_a_subtitle():
    untimed = piece(1.0, 2.5, word("a", None, None), word("b", None, None))
    assert written("srt", "x", Transcript((untimed,), 3.0)) == "1\n00:00:01,000 --> 00:00:02,500\na b\n\n"


def test_json():
    other = Alternative("hallo", -2.0, {})
    told = written("json", "é.wav", Transcript((piece(0.0, 1.0, word("é", 0.12, 0.5), more=(other,)),), 1.00049))
    assert told.endswith("}\n") and told.count("\n") == 1 and "é.wav" in told
    assert json.loads(told) == {
        "audio": "é.wav",
        "seconds": 1.0,
        "text": "é",
        "words": [{"word": "é", "start": 0.12, "end": 0.5, "confidence": 0.5}],
        "nbest": [{"text": "é", "score": -1.23457}, {"text": "hallo", "score": -2.0}],
        "pieces": [{"start": 0.0, "end": 1.0, "text": "é"}],
    }
    assert json.loads(written("json", "a", LONG))["pieces"][1] == {"start": 2.0, "end": 3723.5, "text": "so"}


def test_lists_of_pieces_are_joined():
    one = Piece(0.0, 1.0, (Alternative("a", -1.0, {"ctc": -1.0}), Alternative("b", -2.0, {"ctc": -2.0})), ())
    two = Piece(1.0, 2.0, (Alternative("c", -3.0, {"ctc": -3.0, "decoder": -9.0}),), ())
    empty = Piece(2.0, 3.0, (Alternative("", 0.0, {}),), ())
    assert Transcript((one, two, empty), 3.0).nbest == (
        Alternative("a c", -4.0, {"ctc": -4.0, "decoder": -9.0}),
        Alternative("b c", -5.0, {"ctc": -5.0, "decoder": -9.0}),
    )
    assert Transcript((one,), 1.0).nbest == one.nbest
