import pytest

from kdasr.errors import UserError
from kdasr.score.trn import (
    Alternation,
    Line,
    char_tokens,
    matched,
    parse,
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


def test_words_are_parted_by_any_white_space_of_c_and_there_may_be_none(tmp_path):
    (tmp_path / "text").write_bytes("\ufeffu1\ta\u00a0b \v c\f\r\nu2\t\r\nu3\n".encode())
    assert read_text(tmp_path / "text") == {"u1": ("a\u00a0b", "c"), "u2": (), "u3": ()}


def test_a_trn_of_another_system_is_read_without_its_mark_and_line_ends(tmp_path):
    (tmp_path / "x.trn").write_bytes("\ufeff;; c\r\na\tb (s-1)\r\n(s-2) \r\n".encode())
    assert read_trn(tmp_path / "x.trn") == [Line("s-1", ("a", "b")), Line("s-2", ())]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u1 a\nu1 b\n", r":2: u1 is here a second time"),
        ("u1 a\n\nu2 b\n", r":2: expected 'UTTERANCE WORD...', found ''"),
        ("", r"is empty"),
    ],
)
def test_malformed_texts_are_refused_with_their_line(tmp_path, text, message):
    (tmp_path / "text").write_text(text)
    with pytest.raises(UserError, match=message):
        read_text(tmp_path / "text")


def test_comments_and_blank_lines_are_skipped_and_crlf_is_an_end(tmp_path):
    (tmp_path / "x.trn").write_text(";; a comment; or two\n\n \t\na  b\t(s-1)\r\n*\u00a0 (s-2)\n")
    assert read_trn(tmp_path / "x.trn") == [Line("s-1", ("a", "b")), Line("s-2", ("*\u00a0",))]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a b\n", 1, "expected 'WORD... (ID)', found 'a b'"),
        ("a (s-1) b\n", 1, "expected 'WORD... (ID)'"),
        ("a (s-1))\n", 1, "expected 'WORD... (ID)'"),
        ("a (s1)\n", 1, "has neither"),
        ("a (s 1-2)\n", 1, "a blank or a control character"),
        ("a (s//-1)\n", 1, "'//'"),
        (f"a ({'s' * 500}-1)\n", 1, "longer than 400 bytes"),
        ("a (s-1)\n;; c\nb (s-1)\n", 3, "(s-1) is here a second time"),
        ("a (S-1)\nb (s-1)\n", 2, "(s-1) is here a second time"),
        ("a (s-1)\nb (s-2)", 2, "the last line has no end"),
        ("a;b (s-1)\n", 1, "reads ';' in 'a;b'"),
        ("; a (s-1)\n", 1, "reads ';' in ';'"),
        ("a\\b (s-1)\n", 1, "drops the backslash"),
        ("a\0 (s-1)\n", 1, "NUL byte"),
        ("a\1 (s-1)\n", 1, "control character"),
        ("** (s-1)\n", 1, "begins with '**'"),
        (" **a (s-1)\n", 1, "begins with '**'"),
        (';; LABEL "a" "b" "c"\na (s-1)\n', 1, "copies this line to its .sgml"),
        ("a { b (s-1)\n", 1, "'{' without its '}' at '{ b '"),
        ("a {} (s-1)\n", 1, "write '@' for no word"),
        ("{ / } (s-1)\n", 1, "write '@' for no word"),
        ("a{b/c} (s-1)\n", 1, "opens alternatives at 'a{b/c}'"),
        ("{ a {b / c{d }} } (s-1)\n", 1, "opens alternatives at 'c{d'"),
        ("{ a / { b / { c / { d } } } } (s-1)\n", 1, "more than 3 deep"),
        ("{ a;b / c } (s-1)\n", 1, "reads ';'"),
        (f"{{ {'a / ' * 600} b }} (s-1)\n", 1, "more than 2000 bytes"),
        (f"{'a' * 2001} (s-1)\n", 1, "more than 2000 bytes"),
    ],
)
def test_what_sclite_would_read_otherwise_is_refused_with_file_and_line(tmp_path, text, line, message):
    (tmp_path / "x.trn").write_bytes(text.encode())
    with pytest.raises(UserError) as caught:
        read_trn(tmp_path / "x.trn")
    assert str(caught.value).startswith(f"{tmp_path}/x.trn:{line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", ";; only a comment\n", "\n"])
def test_a_trn_without_utterances_is_refused(tmp_path, text):
    (tmp_path / "x.trn").write_text(text)
    with pytest.raises(UserError, match=r"x\.trn: holds no utterance"):
        read_trn(tmp_path / "x.trn")


def test_ids_need_what_their_form_takes_for_the_speaker(tmp_path):
    (tmp_path / "x.trn").write_text("a (4k1c030b)\nb (4K1c030c)\n")
    assert [line.id for line in read_trn(tmp_path / "x.trn", "wsj")] == ["4k1c030b", "4K1c030c"]
    for form in ("rm", "spu_id"):
        with pytest.raises(UserError, match=r":1: id form .* has neither"):
            read_trn(tmp_path / "x.trn", form)
    (tmp_path / "x.trn").write_text("a (4k)\n")
    with pytest.raises(UserError, match=r":1: .*three"):
        read_trn(tmp_path / "x.trn", "wsj")


def test_ids_may_differ_in_case_where_case_counts(tmp_path):
    (tmp_path / "x.trn").write_text("a (S-1)\nb (s-1)\n")
    assert len(read_trn(tmp_path / "x.trn", case_sensitive=True)) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a {okay/ok / @}b", ("a", Alternation((("okay",), ("ok",), ("@",))), "b")),
        ("{ / a b / / c}", (Alternation((("a", "b"), ("c",))),)),
        ("{a {b/c}/d} } a}", (Alternation((("a", Alternation((("b",), ("c",)))), ("d",))), "}", "a}")),
    ],
)
def test_alternations_are_cut_where_sclite_cuts(text, words):
    assert parse(text, "x:1") == words


def test_alternations_are_read_as_written(tmp_path):
    inner = Alternation((("b", "c"), ("@",)))
    lines = [Line("s-1", ("a", Alternation(((inner, "x"), ("d",))), "e"))]
    write_trn(tmp_path / "x.trn", lines)
    assert (tmp_path / "x.trn").read_text() == "a { { b c / @ } x / d } e (s-1)\n"
    assert read_trn(tmp_path / "x.trn") == lines


def test_the_reference_comes_in_the_order_of_the_hypothesis():
    ref, hyp = [Line("a-1", ("x",)), Line("A-2", ("y",))], [Line("a-2", ()), Line("a-1", ())]
    assert [line.words for line in matched(ref, hyp, "ref", "hyp")] == [("y",), ("x",)]
    with pytest.raises(UserError, match=r"hyp: lacks 1 of the 2 utterances of ref \(A-2\)"):
        matched(ref, hyp, "ref", "hyp", case_sensitive=True)


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


@pytest.mark.parametrize("letter", ["a", "é", "日", "𝄞"])
def test_lengths_are_of_bytes_and_the_longest_is_taken(tmp_path, letter):
    """Of one byte to four: what is just short enough is read, a byte more refused, in words, alternations and ids."""
    size = len(letter.encode())

    def text(length):
        return letter * (length // size) + "a" * (length % size)

    path = tmp_path / "x.trn"
    for length in (500, 501, 1000, 1999, 2000):
        assert unusual([text(length)]) == ""
        path.write_text(f"b {text(length)} (s-1)\n")
        assert read_trn(path)[0].words == ("b", text(length))
    for length in (2001, 2004):
        assert "more than 2000 bytes" in unusual([text(length)]) and unusual(["b", text(length)])
        path.write_text(f"b {text(length)} (s-1)\n")
        with pytest.raises(UserError, match="more than 2000 bytes"):
            read_trn(path)
    way = text(2000 - len("{ a / }") - 1)
    path.write_text(f"{{ a / {way} }} (s-1)\n")
    assert read_trn(path)[0].words == (Alternation((("a",), (way,))),)
    path.write_text(f"{{ a / {way}a }} (s-1)\n")
    with pytest.raises(UserError, match="alternatives of more than 2000 bytes"):
        read_trn(path)
    for length, fits in ((400, True), (401, False)):
        path.write_text(f"a (s-{text(length - 2)})\n")
        if fits:
            assert len(read_trn(path)[0].id.encode()) == 400
            assert list(trn_ids([text(398)], {text(398): "s"}, "utt2spk", False).values()) == [f"s-{text(398)}"]
        else:
            with pytest.raises(UserError, match="longer than 400 bytes"):
                read_trn(path)
            with pytest.raises(UserError, match="longer than 400 bytes"):
                trn_ids([text(399)], {text(399): "s"}, "utt2spk", False)


def test_alternations_may_be_three_deep():
    found = parse("{ a / { b / { c / d } } }", "x:1")
    assert [str(word) for word in found] == ["{ a / { b / { c / d } } }"]
    with pytest.raises(UserError, match="more than 3 deep"):
        parse("{ a / { b / { c / { d } } } }", "x:1")


def test_of_symbols_that_begin_alike_the_longer_one_is_taken():
    for symbols in (["<N>", "<N>>", "<"], ["<", "<N>>", "<N>"]):
        assert char_tokens(["a<N>>b", "<N>c", "<d", "*."], [*symbols, "", "*."]) == [*"ab", "<space>", "c", "<space>",
                                                                                 "d", "<space>"]  # fmt: skip
