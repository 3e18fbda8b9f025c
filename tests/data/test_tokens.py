"""Token lists and encoding, held against ESPnet's own tokenizers and vocabulary writer."""

import argparse
import json
import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.bin import tokens as command
from kdasr.cli import main
from kdasr.data.make_tokens import build, check
from kdasr.data.tokens import Tokens, load_tokens
from kdasr.errors import UserError

TEXT = {
    "4k0c0301": "SAATCHI OFFICIALS SAID THE MANAGEMENT <NOISE> RESTRUCTURING",
    "4k0c0302": "MIGHT ACCELERATE ITS EFFORTS TO PERSUADE CLIENTS",
    "4k0c0303": "TO USE THE FIRM AS A ONE STOP SHOP FOR BUSINESS SERVICES",
    "4k0c0304": "<NOISE> IT'S THE \"QUOTE ,COMMA .PERIOD <SPOKEN_NOISE>",
    "4k0c0305": "DON'T A. B. C.'S É <TWO WORDS> -DASH",
}


def texts(path, table=TEXT):
    path.write_text("".join(f"{name} {text}\n" for name, text in table.items()), encoding="utf-8")
    return path


def kdasr(*words):
    return main(["tokens", *map(str, words)])


@pytest.fixture
def text(tmp_path):
    return texts(tmp_path / "text")


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    """Enough words for sentencepiece."""
    words = ["THE", "A", "OF", "BANK", "BANKS", "MARKET", "MARKETS", "RATE", "RATES", "SHARE", "SHARES", "STOCK"]
    words += ["SAID", "ROSE", "FELL", "COMPANY", "COMPANY'S"]
    table = {f"u{i:03}": " ".join(words[(i * k + k * k) % len(words)] for k in range(9)) for i in range(120)}
    table["u120"] = "<NOISE> THE BANK SAID <NOISE>"
    return texts(tmp_path_factory.mktemp("long") / "text", table)


def char_tokenizer(tokens, directory):
    from espnet2.text.char_tokenizer import CharTokenizer

    return CharTokenizer(non_linguistic_symbols=directory / "nlsyms.txt", space_symbol="<space>")


def converter(directory):
    from espnet2.text.token_id_converter import TokenIDConverter

    return TokenIDConverter(directory / "tokens.txt")


def test_characters_by_hand(tmp_path):
    texts(tmp_path / "text", {"a": "BAB <X> A", "b": "C <X> A"})
    assert kdasr("--text", tmp_path / "text", "--out", tmp_path / "char") == 0
    tokens = load_tokens(tmp_path / "char")
    # <space> 4, A 3, B 2, <X> 2, C 1; equals in the order of first appearance
    assert tokens.list == ["<blank>", "<unk>", "<space>", "A", "B", "<X>", "C", "<sos/eos>"]
    assert (tmp_path / "char" / "tokens.txt").read_text().split() == tokens.list
    assert (tmp_path / "char" / "nlsyms.txt").read_text() == "<X>\n"
    assert tokens.encode("AB <X>Z") == [3, 4, 2, 5, 1]
    assert tokens.decode([7, 3, 4, 2, 0, 5, 1, 7]) == "AB <X><unk>"
    assert tokens.space == "<space>" and len(tokens) == 8
    assert json.loads((tmp_path / "char" / "tokens.json").read_text())["type"] == "char"


def test_list_equals_espnets_vocabulary(text, tmp_path):
    from kdasr.espnet import prepare

    prepare()
    from espnet2.bin.tokenize_text import main as tokenize_text

    assert kdasr("--text", text, "--out", tmp_path / "char") == 0
    tokenize_text(
        f"--token_type char --input {text} --output {tmp_path}/theirs.txt --field 2- --cleaner none --g2p none "
        f"--non_linguistic_symbols {tmp_path}/char/nlsyms.txt --write_vocabulary true "
        "--add_symbol <blank>:0 --add_symbol <unk>:1 --add_symbol <sos/eos>:-1".split()
    )
    assert (tmp_path / "theirs.txt").read_bytes() == (tmp_path / "char" / "tokens.txt").read_bytes()


def test_characters_equal_espnets(text, tmp_path):
    kdasr("--text", text, "--out", tmp_path / "char")
    tokens, tokenizer, ids = (
        load_tokens(tmp_path / "char"),
        char_tokenizer(text, tmp_path / "char"),
        converter(tmp_path / "char"),
    )
    assert tokens.nlsyms == ["<NOISE>", "<SPOKEN_NOISE>"]
    for line in [*TEXT.values(), "", " ", "A<NOISE>B<NOISE", "<noise> unseen ß", "<NOISE><NOISE>", "A  B\tC\n"]:
        assert tokens.split(line) == tokenizer.text2tokens(line)
        assert tokens.encode(line) == ids.tokens2ids(tokenizer.text2tokens(line))
        assert tokens.join(tokens.split(line)) == tokenizer.tokens2text(tokenizer.text2tokens(line))


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece_equals_espnets(kind, long_text, tmp_path):
    from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer

    assert kdasr("--text", long_text, "--out", tmp_path / "sp", "--type", kind, "--vocab", 40) == 0
    tokens, ids = load_tokens(tmp_path / "sp"), converter(tmp_path / "sp")
    tokenizer = SentencepiecesTokenizer(tmp_path / "sp" / "bpe.model")
    assert len(tokens) == 40 and tokens.type == kind
    assert tokens.list[:3] == ["<blank>", "<unk>", "<NOISE>"] and tokens.list[-1] == "<sos/eos>"
    for line in ["THE BANK'S SHARES FELL", "<NOISE> STOCK <NOISE>", "", "ZEBRA É", "THE  SPACED   BANK"]:
        assert tokens.split(line) == tokenizer.text2tokens(line)
        assert tokens.encode(line) == ids.tokens2ids(tokenizer.text2tokens(line))
        assert tokens.decode(tokens.encode(line)) == tokenizer.tokens2text(ids.ids2tokens(tokens.encode(line)))
    assert tokens.decode(tokens.encode("<NOISE> THE BANK'S SHARES <NOISE>")) == "<NOISE> THE BANK'S SHARES <NOISE>"
    again = build([long_text], kind, 40)
    assert again.model == tokens.model  # the same text gives the same bytes


LETTERS = Tokens("char", ["<blank>", "<unk>", "<space>", *"ABC<N>'é", "<NOISE>", "<sos/eos>"], ["<NOISE>"])


@examples(100)
@given(st.lists(st.sampled_from([*"ABC<N>'é ", "<NOISE>"])).map("".join))
def test_round_trip_of_characters(line):
    ids = LETTERS.encode(line)
    assert LETTERS.decode(ids) == line
    assert all(0 < number < len(LETTERS) - 1 for number in ids)


@examples(100)
@given(st.text(), st.sets(st.sampled_from(["<A>", "<B>", "[C]", ".*", "NOISE"])))
def test_any_text_splits_as_espnet_splits_it(line, nlsyms):
    from espnet2.text.char_tokenizer import CharTokenizer

    ours = Tokens("char", ["<blank>", "<unk>", "<sos/eos>"], sorted(nlsyms))
    line = line + "<A>x[C]NOISE.*<B" + line
    assert ours.split(line) == CharTokenizer(nlsyms).text2tokens(line)


@pytest.fixture(scope="module")
def pieces(long_text):
    return build([long_text], "bpe", 60)


@examples(60)
@given(st.lists(st.sampled_from(["THE", "BANKS", "COMPANY'S", "<NOISE>", "ABC", "HORSE"])))
def test_round_trip_of_sentencepiece(pieces, words):
    known = [word for word in words if set(word) <= set("".join(pieces.list)) or word == "<NOISE>"]
    assert pieces.decode(pieces.encode(" ".join(known))) == " ".join(known)


def test_tokens_can_be_pickled(pieces):
    assert pieces.encode("THE BANK")
    again = pickle.loads(pickle.dumps(pieces))
    assert again == pieces and again.encode("THE BANK") == pieces.encode("THE BANK")


def test_unk_in_the_text_is_the_unk_of_the_list(tmp_path):
    texts(tmp_path / "text", {"a": "A <unk> B"})
    tokens = build([tmp_path / "text"], "char")
    assert tokens.list == ["<blank>", "<unk>", "<space>", "A", "B", "<sos/eos>"]
    assert tokens.encode("A <unk> B") == [3, 2, 1, 2, 4]


def test_nlsyms_file_adds_to_those_found(tmp_path):
    texts(tmp_path / "text", {"a": "A [laugh] <N>"})
    (tmp_path / "nl").write_text("[laugh]\n\n<UNSEEN>\n")
    tokens = build([tmp_path / "text"], "char", nlsyms=tmp_path / "nl")
    assert tokens.nlsyms == ["<N>", "<UNSEEN>", "[laugh]"]
    assert tokens.list == ["<blank>", "<unk>", "<space>", "A", "[laugh]", "<N>", "<sos/eos>"]


def test_several_texts_count_together(tmp_path):
    one, two = texts(tmp_path / "1", {"a": "A"}), texts(tmp_path / "2", {"a": "BB"})
    assert build([one, two], "char").list == ["<blank>", "<unk>", "B", "A", "<sos/eos>"]


def test_check_counts_unknown_tokens(text, tmp_path, capsys):
    other = texts(tmp_path / "other", {"a": "THE ßß <FOO>", "b": "THE", "c": "THE ß", "d": ""})
    assert kdasr("--text", text, "--out", tmp_path / "char", "--check", text, other) == 0
    lines = capsys.readouterr().out.splitlines()
    total = sum(len(load_tokens(tmp_path / "char").encode(line)) for line in TEXT.values())
    assert lines[1] == f"{text}: 5 utterances, {total} tokens, 0 unknown"
    assert lines[2] == f"{other}: 4 utterances, 20 tokens, 3 unknown (15.000 %), in 2 utterances: ß 3"


def test_a_text_that_a_finished_model_would_write_otherwise_is_refused(text, tmp_path, capsys):
    """A tenth of unknown tokens is let through, as 2 of 20; more would teach students <unk>."""
    assert kdasr("--text", text, "--out", tmp_path / "own") == 0
    model = stock_model(tmp_path / "m", token_list=load_tokens(tmp_path / "own").list)
    words = ("--model", model, "--out", tmp_path / "of_m", "--check")
    few = texts(tmp_path / "few", {"a": "THE THE THE THE ßß", "b": "TE"})
    assert kdasr(*words, few) == 0
    many = texts(tmp_path / "many", {"a": "THE THE", "b": "the the THE"})
    capsys.readouterr()
    assert kdasr(*words, text, many) == 1
    said = capsys.readouterr().err
    assert f"{many}: b: 6 of 18 tokens of the text are none of {model}, as 't'; write the transcripts as" in said
    assert said.count("\n") == 1
    assert kdasr("--text", text, "--out", tmp_path / "more", "--check", many) == 0  # told, not refused


def test_rerun_says_so_and_changes_nothing(text, tmp_path, capsys):
    words = ("--text", text, "--out", tmp_path / "char")
    kdasr(*words)
    stamp = (tmp_path / "char").stat().st_mtime_ns
    capsys.readouterr()
    assert kdasr(*words) == 0
    assert "are there already" in capsys.readouterr().out
    assert (tmp_path / "char").stat().st_mtime_ns == stamp
    texts(text, {"a": "OTHER"})
    assert kdasr(*words) == 1
    assert "made from another text" in capsys.readouterr().err
    assert (tmp_path / "char").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({}, [], "no text in it"),
        ({"a": "A\u00a0B"}, [], r"a has the character '\\xa0'"),
        ({"a": "A\tB"}, [], r"a has the character '\\t'"),
        ({"a": "A\u3000B"}, [], r"a has the character '\\u3000'"),
        ({"a": "A\x07B"}, ["--type", "bpe"], r"a has the character '\\x07'"),
        (
            {"a": "A", "b": "A <space> B"},
            [],
            "text:2: b: <space> cannot be a token, as it has a special meaning among",
        ),
        ({"a": "A <sos/eos>"}, [], "text:1: a: <sos/eos> cannot be .* among char tokens"),
        ({"a": "A <blank>"}, [], "text:1: a: <blank> cannot be"),
        (
            {"a": "A", "b": "A <unk> B"},
            ["--type", "bpe"],
            "text:2: b: <unk> cannot be .* among bpe tokens; write another",
        ),
        ({"a": "A <s> B"}, ["--type", "unigram"], "text:1: a: <s> cannot be .* among unigram tokens"),
        ({"a": "A <sos/eos> B"}, ["--type", "bpe"], "text:1: a: <sos/eos> cannot be"),
        ({"a": "<blank> B"}, ["--type", "bpe"], "text:1: a: <blank> cannot be"),
        ({"a": "A B"}, ["--vocab", "5"], "a character list keeps every character"),
        ({"a": "ABAB ABA"}, ["--type", "bpe", "--vocab", "500"], "give --vocab \\d+ or less"),
        ({"a": "ABCDEFGH"}, ["--type", "bpe", "--vocab", "5"], "give --vocab 12 or more"),
    ],
)
def test_errors(table, options, message, tmp_path, capsys):
    import re

    assert kdasr("--text", texts(tmp_path / "text", table), "--out", tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_largest_vocabulary_named_is_possible(tmp_path):
    path = texts(tmp_path / "text", {"a": "ABAB ABA BAA"})
    for kind in ("bpe", "unigram"):
        with pytest.raises(UserError) as error:
            build([path], kind, 500)
        largest = int(str(error.value).split("--vocab ")[1].split()[0])
        assert len(build([path], kind, largest)) == largest
        with pytest.raises(UserError, match=f"give --vocab {largest} or less"):
            build([path], kind, largest + 1)


def test_a_symbol_that_begins_another_is_refused(tmp_path):
    (tmp_path / "nl").write_text("NO\nNOISE\n")
    with pytest.raises(UserError, match="NO begins NOISE"):
        build([texts(tmp_path / "text", {"a": "A"})], "char", nlsyms=tmp_path / "nl")


def test_decode_refuses_an_id_of_another_list():
    for number in (-1, len(LETTERS)):
        with pytest.raises(UserError, match=f"token {number}: the list has 0 to 12 only"):
            LETTERS.decode([3, number])


def test_load_refuses_what_is_no_token_list(text, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_tokens(tmp_path / "absent")
    kdasr("--text", text, "--out", tmp_path / "char")
    path = tmp_path / "char" / "tokens.txt"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[1:]), encoding="utf-8")
    with pytest.raises(UserError, match="expected <blank> first"):
        load_tokens(tmp_path / "char")
    path.write_text("".join([*lines[:3], lines[2], *lines[3:]]), encoding="utf-8")
    with pytest.raises(UserError, match="stands there 2 times"):
        load_tokens(tmp_path / "char")


def test_the_commands_import_nothing_heavy():
    import subprocess

    heavy = ("numpy", "torch", "scipy", "kaldiio", "sentencepiece")
    code = f"import kdasr.bin.tokens, kdasr.bin.feats, sys; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def stock_model(directory, **config):
    """A model directory of ESPnet's, as far as its tokens go."""
    import yaml

    directory.mkdir(exist_ok=True)
    config = {"input_size": None, "token_type": "char", "non_linguistic_symbols": None} | config
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    return directory


def test_tokens_of_a_finished_model(text, tmp_path):
    assert kdasr("--text", text, "--out", tmp_path / "own") == 0
    own = load_tokens(tmp_path / "own")
    model = stock_model(tmp_path / "m", token_list=own.list)
    assert kdasr("--model", model, "--out", tmp_path / "of_m", "--check", text) == 0
    found = load_tokens(tmp_path / "of_m")
    assert (found.type, found.list, found.nlsyms) == ("char", own.list, own.nlsyms)
    assert kdasr("--model", model, "--out", tmp_path / "of_m") == 0  # there already
    # what the config calls a symbol, and the list has, is one; a list in a file of its own, which was moved
    (model / "list.txt").write_text("".join(f"{token}\n" for token in own.list))
    (model / "sym.txt").write_text("<NOISE>\n<GONE>\n")
    stock_model(model, token_list="data/far/list.txt", non_linguistic_symbols="data/far/sym.txt")
    assert kdasr("--model", model, "--out", tmp_path / "moved") == 0
    assert (load_tokens(tmp_path / "moved").list, load_tokens(tmp_path / "moved").nlsyms) == (own.list, ["<NOISE>"])


def test_pieces_of_a_finished_model(long_text, tmp_path, capsys):
    assert kdasr("--text", long_text, "--out", tmp_path / "own", "--type", "unigram", "--vocab", "40") == 0
    own = load_tokens(tmp_path / "own")
    model = stock_model(tmp_path / "m", token_list=own.list, token_type="bpe", bpemodel=str(tmp_path / "own/bpe.model"))
    assert kdasr("--model", model, "--out", tmp_path / "of_m") == 0
    found = load_tokens(tmp_path / "of_m")
    assert found.encode("THE BANK SAID <NOISE>") == own.encode("THE BANK SAID <NOISE>")
    stock_model(model, token_list=own.list, token_type="bpe", bpemodel="far/away.model")
    assert kdasr("--model", model, "--out", tmp_path / "none") == 1
    assert "names far/away.model as its sentencepiece model, which is gone" in capsys.readouterr().err
    stock_model(model, token_list=own.list, token_type="phn")
    assert kdasr("--model", model, "--out", tmp_path / "none") == 1
    assert "tokens of type phn" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_words_of_a_finished_model_equal_espnets(tmp_path):
    from espnet2.text.word_tokenizer import WordTokenizer

    listed = ["<blank>", "<unk>", "THE", "<NOISE>", "BANK", "<space>", "<sos/eos>"]
    model = stock_model(tmp_path / "m", token_list=listed, token_type="word")
    assert kdasr("--model", model, "--out", tmp_path / "of_m") == 0
    found = load_tokens(tmp_path / "of_m")
    assert (found.type, found.list, found.nlsyms) == ("word", listed, ["<NOISE>"])
    for line in ("THE BANK", "  THE <NOISE>\t BANKS THE", "", "THEBANK <space>"):
        assert found.split(line) == WordTokenizer().text2tokens(line)
        assert found.encode(line) == converter(tmp_path / "of_m").tokens2ids(WordTokenizer().text2tokens(line))
    assert found.decode([0, 2, 4, 3, 1, 6]) == "THE BANK <NOISE> <unk>" and found.decode([]) == ""
    assert found.normalised("\u00c9  \u2167 A") == "\u00c9 \u2167 A"  # nothing but blanks has another form


def test_any_white_space_stands_behind_a_key(tmp_path):
    (tmp_path / "tab").write_bytes("\ufeffa\tAB\r\nb \t C D\r\n".encode())
    assert build([tmp_path / "tab"], "char") == build([texts(tmp_path / "space", {"a": "AB", "b": "C D"})], "char")
    (tmp_path / "nl").write_bytes(b"\xef\xbb\xbf[laugh]\t\r\n\r\n")
    assert build([tmp_path / "tab"], "char", nlsyms=tmp_path / "nl").nlsyms == ["[laugh]"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("<N>\n<space>\n", "nl:2: <space> cannot be a token"),
        ("<N>\nTWO WORDS\n", "nl:2: 'TWO WORDS' cannot be a token, expected one word a line"),
        ("<N>\u00a0\n", r"nl:1: '<N>\\xa0' cannot be a token"),
        ("NOISE\nNO\n", "nl:2: NO begins NOISE"),
    ],
)
def test_symbols_that_cannot_be_are_named_by_line(tmp_path, lines, message):
    (tmp_path / "nl").write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        build([texts(tmp_path / "text", {"a": "A"})], "char", nlsyms=tmp_path / "nl")


def test_letters_marks_are_kept(tmp_path):
    line = "\u0646\u0645\u06cc\u200c\u062e A\u200dB CO\u00adOP \ue000 X\ufeffY"
    tokens = build([texts(tmp_path / "text", {"a": line})], "char")
    assert {"\u200c", "\u200d", "\u00ad", "\ue000", "\ufeff"} < set(tokens.list)
    assert tokens.decode(tokens.encode(line)) == line


WIDE = {
    "a": "PLAIN TEXT",
    "b": "\u6771\u4eac \uff21\uff22\uff23",
    "c": "\ufb01ne \u00bd",
    "d": "e\u0301t\u00e9",
    "e": "CAF\u00c9 TEXT",
    "f": "\u6771\u4eac TEXT",
}


def note(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if "normalises" in line]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_what_sentencepiece_normalises_is_said(kind, long_text, tmp_path, capsys):
    plain = texts(tmp_path / "plain", {"a": "THE  BANK", "b": "CAF\u00c9", "c": "\u6771\u4eac", "d": ""})
    wide = texts(tmp_path / "wide", WIDE)
    words = ("--text", long_text, "--out", tmp_path / "sp", "--type", kind, "--vocab", "40")
    assert kdasr(*words, "--check", plain) == 0
    assert note(capsys) == []  # unknown characters and joined spaces are no changes of spelling
    for _ in range(2):  # made, and there already
        assert kdasr(*words, "--check", plain, wide) == 0
        assert note(capsys) == [
            f"{wide}: sentencepiece normalises 3 of 6 utterances (NFKC, as ESPnet), as b: \uff21\uff22\uff23 -> ABC; "
            "scores are then of the normalised text"
        ]


def test_the_training_text_is_looked_at_too(tmp_path, capsys):
    words = [f"{a}{b}" for a in "ABCD" for b in "EFGH"]
    table = {f"u{i}": " ".join(words[i % 7 : i % 7 + 6]) for i in range(40)}
    path = texts(tmp_path / "text", table | {"w": "\ufb01 AE", "x": "AE AF 1 \u00bd"})
    command = ("--text", path, "--type", "unigram", "--vocab", "20", "--out", tmp_path / "sp", "--check", path)
    assert kdasr(*command) == 0
    assert [line.partition(", as w: ")[2] for line in note(capsys)] == [
        "\ufb01 -> fi; scores are then of the normalised text"
    ]
    tokens = load_tokens(tmp_path / "sp")
    for line, spelled in (
        ("\ufb01 AE", "fi AE"),
        ("1 \u00bd", "1 1\u20442"),
        ("AE\tAF  ", "AE AF"),
        ("\u00c9", "\u00c9"),
    ):
        assert tokens.normalised(line) == spelled == tokens.join(tokens.split(line))


def test_changes_that_cannot_be_seen_are_shown_as_escapes(long_text, tmp_path, capsys):
    other = texts(tmp_path / "other", {"a": "A e\u0301"})
    joined = texts(tmp_path / "joined", {"a": "\u06cc\u200c\u062e"})
    words = ("--text", long_text, "--out", tmp_path / "sp", "--type", "bpe", "--vocab", "40", "--check", other, joined)
    assert kdasr(*words) == 0
    said = note(capsys)
    assert r"as a: 'e\u0301' -> '\xe9'; scores" in said[0]
    assert r"as a: '\u06cc\u200c\u062e' -> '\u06cc \u062e'; scores" in said[1]


def test_characters_are_not_normalised(tmp_path, capsys):
    wide = texts(tmp_path / "wide", WIDE)
    assert kdasr("--text", wide, "--out", tmp_path / "char", "--check", wide) == 0
    assert note(capsys) == []


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
@pytest.mark.parametrize("noted", [True, False])
def test_a_damaged_sentencepiece_model_is_refused(long_text, tmp_path, capsys, keep, noted):
    assert kdasr("--text", long_text, "--out", tmp_path / "sp", "--type", "bpe", "--vocab", "40") == 0
    if not noted:  # as directories of earlier versions are
        made = json.loads((tmp_path / "sp/tokens.json").read_text())
        del made["sha256"]
        (tmp_path / "sp/tokens.json").write_text(json.dumps(made))
    load_tokens(tmp_path / "sp")
    path = tmp_path / "sp/bpe.model"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(
        UserError, match=r"bpe\.model: (is no sentencepiece model, or damaged|was changed).*; copy it again"
    ):
        load_tokens(tmp_path / "sp")


def test_a_model_of_other_bytes_is_not_even_loaded(long_text, tmp_path):
    """Of one in a thousand flipped bytes sentencepiece ends the process, which nobody can catch."""
    assert kdasr("--text", long_text, "--out", tmp_path / "sp", "--type", "bpe", "--vocab", "40") == 0
    path = tmp_path / "sp/bpe.model"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"bpe\.model: was changed after it was written .*; copy it again"):
        load_tokens(tmp_path / "sp")


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("tokens.json", lambda path: path.write_bytes(b"\xff"), "tokens.json:1: not UTF-8"),
        ("tokens.json", lambda path: path.write_text('{"type": ["char"]}'), "expected type char in tokens.json"),
        ("tokens.json", lambda path: path.write_text('{"type": "bpe"}'), "bpe.model; run kdasr tokens again"),
        ("tokens.txt", lambda path: path.write_bytes(b"<blank>\n\xff\n"), "tokens.txt:2: not UTF-8"),
        ("tokens.txt", lambda path: path.write_bytes(b"<blank>\n\0\n"), "tokens.txt:2: holds a NUL byte"),
        ("tokens.txt", lambda path: (path.unlink(), path.mkdir()), "tokens.txt: is a directory"),
        ("nlsyms.txt", lambda path: path.write_bytes(b"\xff"), "nlsyms.txt:1: not UTF-8"),
        ("nlsyms.txt", lambda path: path.unlink(), "nlsyms.txt: no such file"),
    ],
)
def test_damaged_token_directories(text, tmp_path, capsys, name, damage, message):
    assert kdasr("--text", text, "--out", tmp_path / "char") == 0
    damage(tmp_path / "char" / name)
    with pytest.raises(UserError, match=message):
        load_tokens(tmp_path / "char")


def test_damaged_symbols_of_a_model(tmp_path, capsys):
    tokens = ["<blank>", "<unk>", "A", "<sos/eos>"]
    for number, symbols in enumerate((5, {"A": 1}, True)):
        model = stock_model(tmp_path / f"m{number}", token_list=tokens, non_linguistic_symbols=symbols)
        assert kdasr("--model", model, "--out", tmp_path / "of_m") == 1
        assert "non_linguistic_symbols is" in capsys.readouterr().err
    model = stock_model(tmp_path / "m", token_list=tokens, token_type="bpe", bpemodel=str(tmp_path / "bad.model"))
    (tmp_path / "bad.model").write_bytes(b"no model")
    assert kdasr("--model", model, "--out", tmp_path / "of_m") == 1
    assert "bad.model: is no sentencepiece model, or damaged" in capsys.readouterr().err
    (tmp_path / "bad.model").unlink()
    (tmp_path / "bad.model").mkdir()
    assert kdasr("--model", model, "--out", tmp_path / "of_m") == 1
    assert "bad.model" in capsys.readouterr().err


def test_other_things_are_not_replaced(text, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis").write_text("")
    (tmp_path / "file").write_text("")
    for out in ("mine", "file"):
        assert kdasr("--text", text, "--out", tmp_path / out) == 1
        assert f"{out}: holds other things than tokens, which would be lost" in capsys.readouterr().err
    assert (tmp_path / "mine/thesis").exists() and (tmp_path / "file").is_file()
    assert kdasr("--text", text, "--out", tmp_path / "file/x") == 1
    assert "this is a file, expected a directory" in capsys.readouterr().err
    for out in ("", ".", "/", ".."):
        assert kdasr("--text", text, "--out", out) == 1
        assert "is no name that a new directory can get" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert kdasr("--text", text, "--out", tmp_path / "empty") == 0


@pytest.mark.parametrize("name", ["1e3", "yes", "null", "a: b #c"])
def test_names_that_yaml_would_read_otherwise(text, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kdasr("--text", text, "--out", name, "--check", text) == 0
    assert len(load_tokens(tmp_path / name)) > 10


def test_a_text_to_check_that_is_absent_is_refused_first(text, tmp_path, capsys):
    assert kdasr("--text", text, "--out", tmp_path / "char", "--check", tmp_path / "none") == 1
    assert "none: no such file" in capsys.readouterr().err
    assert not (tmp_path / "char").exists()


def test_a_changed_list_is_noticed(tmp_path, capsys):
    """Another letter for a token would spell another text, without anything else wrong."""
    (tmp_path / "text").write_text("u1 AB AB\n")
    assert main(["tokens", "--text", str(tmp_path / "text"), "--out", str(tmp_path / "t")]) == 0
    path = tmp_path / "t/tokens.txt"
    path.write_text(path.read_text().replace("A", "C"))
    with pytest.raises(UserError, match=r"t/tokens\.txt: was changed after it was written"):
        load_tokens(tmp_path / "t")


# an option of `kdasr tokens`: another value, and what its refusal names; None: it makes no other tokens
OPTIONS = {"text": ("other", "text"), "model": None, "out": None, "type": ("bpe", "type"), "vocab": (30, "vocab"),
           "nlsyms": ("symbols", "nlsyms"), "check": None,
           "source": None}  # of a model that translates: tests/mt/test_mt_refused.py  # fmt: skip


@pytest.mark.parametrize("base", [(), ("--type", "unigram", "--vocab", 25), ("--nlsyms", "own")])
def test_every_option_is_in_the_record(long_text, tmp_path, capsys, base):
    """Models depend on the tokens: another value of an option is refused."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert {action.dest for action in parser._actions} - {"help"} == OPTIONS.keys()
    (tmp_path / "symbols").write_text("BANK\n")
    (tmp_path / "own").write_text("MARKET\n")
    (tmp_path / "other").write_text(long_text.read_text().replace("BANKS", "BANKERS"))
    words = [tmp_path / word if word == "own" else word for word in base]
    out = tmp_path / "out"
    assert kdasr("--text", long_text, "--out", out, *words) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    seen = 0
    for name, value in OPTIONS.items():
        if value is None or (name == "vocab" and "--type" not in base):
            continue
        given = tmp_path / value[0] if name in ("text", "nlsyms") else value[0]
        source = () if name == "text" else ("--text", long_text)
        assert kdasr(*source, "--out", out, *words, f"--{name}", given) == 1, name
        error = capsys.readouterr().err
        assert f"made from another {value[1]} (was " in error, (name, error)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        seen += 1
    assert seen >= 3
    assert kdasr("--text", long_text, tmp_path / "other", "--out", out, *words) == 1  # one more text
    assert "made from another text" in capsys.readouterr().err
    assert kdasr("--text", long_text, "--out", out, *words, "--check", tmp_path / "other") == 0


def test_equally_frequent_characters_stand_as_they_first_appear(tmp_path):
    texts(tmp_path / "t", {"a": "CBA", "b": "ZZA BC"})
    assert build([tmp_path / "t"], "char").list == ["<blank>", "<unk>", "C", "B", "A", "Z", "<space>", "<sos/eos>"]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5])
def test_what_decoding_leaves_out(number):
    """The blank and <sos/eos>, wherever they stand, and nothing else."""
    tokens = Tokens("char", ["<blank>", "<unk>", "A", "<space>", "<N>", "<sos/eos>"], ["<N>"])
    shown = ["", "<unk>", "A", " ", "<N>", ""][number]
    for ids in ([number], [2, number, 2], [number, number, 2], [2, number]):
        expected = "".join("A" if i == 2 and number != 2 else shown for i in ids)
        assert tokens.decode(ids) == expected


def test_unknown_tokens_are_counted_each_time(tmp_path):
    tokens = Tokens("char", ["<blank>", "<unk>", "A", "<space>", "<sos/eos>"], [])
    texts(tmp_path / "t", {"u": "AXXA", "v": "A A", "w": "XY", "x": ""})
    assert check(tokens, tmp_path / "t") == (
        f"{tmp_path}/t: 4 utterances, 9 tokens, 4 unknown (44.444 %), in 2 utterances: X 3, Y 1"
    )


def test_words_by_count_and_first_appearance(tmp_path, capsys):
    table = {"u1": "b a <unk> c", "u2": "c b b d", "u3": "e d <x>"}
    text = texts(tmp_path / "text", table)
    assert kdasr("--text", text, "--out", tmp_path / "all", "--type", "word") == 0
    tokens = load_tokens(tmp_path / "all")
    assert tokens.list == ["<blank>", "<unk>", "b", "c", "d", "a", "e", "<x>", "<sos/eos>"]
    assert kdasr("--text", text, "--out", tmp_path / "few", "--type", "word", "--vocab", 6, "--check", text) == 0
    few = load_tokens(tmp_path / "few")
    assert few.list == ["<blank>", "<unk>", "b", "c", "d", "<sos/eos>"]
    assert few.decode(few.encode("b a  d")) == "b <unk> d"
    capsys.readouterr()
    assert kdasr("--text", text, "--out", tmp_path / "no", "--type", "word", "--vocab", 3) == 1
    assert "--vocab 3: 3 of a list are no words" in capsys.readouterr().err
    assert kdasr("--text", text, "--out", tmp_path / "no", "--type", "word", "--nlsyms", text) == 1
    assert "--nlsyms: every word of a list of words is one token" in capsys.readouterr().err
