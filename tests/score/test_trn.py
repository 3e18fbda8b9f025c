import pytest

from kdasr.errors import UserError
from kdasr.score.trn import (
    Line,
    char_tokens,
    read_text,
    read_trn,
    same_utterances,
    trn_ids,
    unusual,
    word_tokens,
    write_trn,
    wsj_filter,
)


def test_wsj_filter_removes_noises_and_the_marks_of_pronunciation():
    words = ["<NOISE>", "*MISPRONOUNCED*", ":L:ONG", "<SPOKEN_NOISE>", "A.", "<UNK>", "**", "!EMPHATIC", "<noise>"]
    assert wsj_filter(words) == ["MISPRONOUNCED", "LONG", "A.", "!EMPHATIC", "<noise>"]


@pytest.mark.parametrize("nlsyms", [set(), {"<NOISE>", "<N>"}, {"ab"}, {".", "<NOISE>"}])
@pytest.mark.parametrize("text", ["ab c", "<NOISE> it's <N> ab.", "x<NOISE>y", ""])
def test_tokens_are_espnets(text, nlsyms):
    pytest.importorskip("espnet2.text.char_tokenizer")
    from espnet2.text.char_tokenizer import CharTokenizer
    from espnet2.text.word_tokenizer import WordTokenizer

    words = text.split()
    char = CharTokenizer(non_linguistic_symbols=nlsyms, remove_non_linguistic_symbols=True)
    word = WordTokenizer(non_linguistic_symbols=nlsyms, remove_non_linguistic_symbols=True)
    assert char_tokens(words, nlsyms) == char.text2tokens(text)
    assert word_tokens(words, nlsyms) == word.text2tokens(text)


def test_trn_is_read_as_written(tmp_path):
    lines = [Line("s1-s1-a", ("a", "(b)", "c")), Line("s2-x", ())]
    write_trn(tmp_path / "ref.trn", lines)
    assert (tmp_path / "ref.trn").read_text() == "a (b) c (s1-s1-a)\n(s2-x)\n"
    assert read_trn(tmp_path / "ref.trn") == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u1 a\nu1 b\n", r":2: u1 stands here a second time"),
        ("u1 a\n\nu2 b\n", r":2: expected 'UTTERANCE WORD...', found ''"),
        ("u1 a\nu2\n", r":2: expected 'UTTERANCE WORD...', found 'u2'"),
        ("", r"is empty"),
    ],
)
def test_malformed_texts_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "text").write_text(text)
    with pytest.raises(UserError, match=message):
        read_text(tmp_path / "text")


def test_hypotheses_may_be_without_words(tmp_path):
    (tmp_path / "text").write_text("u1\nu2 a\tb\n")
    assert read_text(tmp_path / "text", empty=True) == {"u1": (), "u2": ("a", "b")}


@pytest.mark.parametrize("text", ["a b\n", "a (s1)\n", "a (s-1) b\n", "a (s-1)\nb (s-1)\n", "a;b (s-1)\n"])
def test_malformed_trn_is_refused(tmp_path, text):
    (tmp_path / "x.trn").write_text(text)
    with pytest.raises(UserError, match=r"x\.trn:\d: "):
        read_trn(tmp_path / "x.trn")


def test_missing_utterances_are_counted_and_five_are_named():
    ref = {f"u{k}": () for k in range(9)}
    with pytest.raises(UserError, match=r"hyp: lacks 7 of the 9 utterances of ref \(u2, u3, u4, u5, u6, ...\)"):
        same_utterances(ref, {"u0": (), "u1": ()}, "ref", "hyp")
    with pytest.raises(UserError, match=r"ref: lacks 1 of the 10 utterances of hyp \(v\)"):
        same_utterances(ref, {**ref, "v": ()}, "ref", "hyp")


@pytest.mark.parametrize("token", ["a;b", ";;", "a\\b", "{a", "{", "a{", "@", "a\x01", "**"])
def test_what_sclite_reads_otherwise_is_refused_by_name(token):
    assert repr(token)[1:-1].replace("\\\\", "\\") in unusual([token]) or token in ("a\\b", "@")
    assert unusual([token])


def test_ordinary_words_are_not_refused():
    assert unusual(["*x", "a**", "**", "a}", "(b)", "<s>", "a@b", "/", "é", "\u00a0"]) == ""


def test_ids_that_sclite_would_confuse_are_refused():
    assert trn_ids(["a-1"], {"a-1": "a", "b": "c"}, "utt2spk", False) == {"a-1": "a-a-1"}
    with pytest.raises(UserError, match="no speaker for utterance b"):
        trn_ids(["b"], {}, "utt2spk", False)
    with pytest.raises(UserError, match="x and X both become 's-x'"):
        trn_ids(["X", "x"], {"x": "s", "X": "s"}, "utt2spk", False)
    assert len(trn_ids(["X", "x"], {"x": "s", "X": "s"}, "utt2spk", True)) == 2
    with pytest.raises(UserError, match="rename the utterance"):
        trn_ids(["x(1)"], {"x(1)": "s"}, "utt2spk", False)
