"""Ids to text against kdasr's token lists, ESPnet's tokenizers and sentencepiece; words cover a text."""

import types

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.cli import main
from kdasr.data.tokens import load_tokens
from kdasr.runtime.spell import Spelling
from kdasr.search.engine import speller

CHARS = ("<blank>", "<unk>", "<NOISE>", "<space>", "'", *"ABC", "é", "<sos/eos>")
VOCAB = {"bpe": "24", "unigram": "16"}


def of_directory(directory):
    """A token directory, as Tokens, and as kdasr export describes it."""
    tokens = load_tokens(directory)
    kind = "char" if tokens.type == "char" else "bpe"
    return tokens, Spelling(kind, tuple(tokens.list), frozenset({0, len(tokens.list) - 1}))


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    root = tmp_path_factory.mktemp("tokens")
    texts = ["the cat's hat", "a é <NOISE> b", "heathen teeth"] * 9
    (root / "text").write_text("".join(f"u{n} {text}\n" for n, text in enumerate(texts)))
    (root / "nlsyms").write_text("<NOISE>\n")
    for kind in ("char", "bpe", "unigram"):
        words = ["tokens", "--text", str(root / "text"), "--type", kind, "--out", str(root / kind)]
        more = ["--nlsyms", str(root / "nlsyms")] + ([] if kind == "char" else ["--vocab", VOCAB[kind]])
        assert main([*words, *more]) == 0
    return {kind: of_directory(root / kind) for kind in ("char", "bpe", "unigram")}


@examples(150)
@given(kind=st.sampled_from(["char", "bpe", "unigram"]), data=st.data())
def test_as_the_token_list_spells(directories, kind, data):
    tokens, spelling = directories[kind]
    ids = data.draw(st.lists(st.integers(0, len(tokens.list) - 1), max_size=12))
    assert spelling.text(ids) == tokens.decode(ids)


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram"])
def test_texts_survive(directories, kind):
    tokens, spelling = directories[kind]
    for text in ("the cat's hat", "a é <NOISE> b", "", "hat"):
        ids = tokens.encode(text)
        assert spelling.text(ids) == text
        assert [word for word, _ in spelling.words(ids)] == text.split()


@examples(150)
@given(st.lists(st.integers(0, len(CHARS) - 1), max_size=12), st.sampled_from(["char", "word"]))
def test_as_espnet_spells(ids, kind):
    spell = speller("nowhere", types.SimpleNamespace(token_type=kind), CHARS)
    ids = [number for number in ids if number != 0]  # the search has taken blanks out
    assert Spelling(kind, CHARS, frozenset({0})).text(ids) == spell(ids)


def test_bytes_and_unknown_pieces(tmp_path):
    """What sentencepiece does with byte fallback, of pieces that no text gives in this order, too."""
    (tmp_path / "t").write_text("abc abd\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "t"), model_prefix=str(tmp_path / "m"), vocab_size=266, byte_fallback=True,
        model_type="bpe", minloglevel=2,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    tokens = tuple(model.id_to_piece(n) for n in range(model.get_piece_size()))
    spelling = Spelling("bpe", tokens, frozenset())
    for text in ("abc", "ab€c é", "日本 abd"):
        ids = model.encode(text)
        assert spelling.text(ids) == text == model.decode(ids)
    a, b, mark = tokens.index("a"), tokens.index("b"), tokens.index("\u2581")
    lead = tokens.index("<0xE2>")
    for ids in ([mark, a], [a, mark, b], [mark, mark, a], [lead, a], [a, lead], [lead, lead], [0, a], [mark, 0, a]):
        assert spelling.text(ids) == model.decode([tokens[n] for n in ids]), ids


def test_words_by_hand():
    spelling = Spelling("char", CHARS, frozenset({0, 9}))
    a, b, space = CHARS.index("A"), CHARS.index("B"), 3
    assert spelling.words([space, a, b, 0, space, space, b, space]) == [("AB", [1, 2]), ("B", [6])]
    assert spelling.words([]) == [] and spelling.words([space, 9]) == []
    pieces = Spelling("bpe", ("<blank>", "<unk>", "\u2581he", "llo", "\u2581", "x"), frozenset({0}))
    assert pieces.words([3, 2, 3, 4, 5, 4]) == [("llo", [0]), ("hello", [1, 2]), ("x", [3, 4])]
    words = Spelling("word", ("<blank>", "one", "two"), frozenset({0}))
    assert words.words([1, 0, 2, 2]) == [("one", [0]), ("two", [2]), ("two", [3])]
