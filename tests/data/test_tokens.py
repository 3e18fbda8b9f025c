"""Token lists and encoding, held against ESPnet's own tokenizers and vocabulary writer."""

import json
import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdasr.cli import main
from kdasr.data.tokens import Tokens, build, load_tokens
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


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*"ABC<N>'é ", "<NOISE>"])).map("".join))
def test_round_trip_of_characters(line):
    ids = LETTERS.encode(line)
    assert LETTERS.decode(ids) == line
    assert all(0 < number < len(LETTERS) - 1 for number in ids)


@settings(max_examples=100, deadline=None)
@given(st.text(), st.sets(st.sampled_from(["<A>", "<B>", "[C]", ".*", "NOISE"])))
def test_any_text_splits_as_espnet_splits_it(line, nlsyms):
    from espnet2.text.char_tokenizer import CharTokenizer

    ours = Tokens("char", ["<blank>", "<unk>", "<sos/eos>"], sorted(nlsyms))
    line = line + "<A>x[C]NOISE.*<B" + line
    assert ours.split(line) == CharTokenizer(nlsyms).text2tokens(line)


@pytest.fixture(scope="module")
def pieces(long_text):
    return build([long_text], "bpe", 60)


@settings(max_examples=60, deadline=None)
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
        ({"a": "A <space> B"}, [], "'<space>' cannot be a token of its own"),
        ({"a": "A <sos/eos>"}, [], "'<sos/eos>' cannot be"),
        ({"a": "A <unk> B"}, ["--type", "bpe"], "'<unk>' cannot be"),
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


def test_module_imports_nothing_heavy():
    import subprocess

    heavy = ("numpy", "torch", "scipy", "kaldiio", "sentencepiece")
    code = f"import kdasr.data.tokens, kdasr.data.feats, sys; print([m for m in {heavy} if m in sys.modules])"
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
