from pathlib import Path

import pytest
from drawn_texts import networks
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.score import detail, sclite
from kdasr.score.align import align_words
from kdasr.score.network import aligned
from kdasr.score.trn import Line, matched, parse, read_trn, write_trn

GOLDEN = Path(__file__).parent.parent / "golden"
PROGRAM = sclite.find()
KINDS = ("sys", "raw", "pra", "dtl", "sgml", "prf")
OPTIONS = {"": (), "D": ("-D",), "F": ("-F",), "DF": ("-D", "-F")}


def reports(utterances, case_sensitive=False):
    speakers = sclite.by_speaker(utterances, case_sensitive)
    tables = [sclite.summary(speakers, raw) for raw in (False, True)]
    return b"".join([*tables, sclite.alignments(utterances, case_sensitive)])


def one(ref, hyp, **rules):
    """The words taken of each side, and the operations."""
    found = aligned(*([Line("s-1", parse(text, "x:1"))] for text in (ref, hyp)), **rules)[0]
    return " ".join(found.ref), " ".join(found.hyp), found.operations


@pytest.mark.parametrize(
    ("ref", "hyp", "expected"),
    [
        ("a { okay / ok / @ } b", "a ok b", ("a ok b", "a ok b", "CCC")),
        ("a { okay / ok / @ } b", "a b", ("a b", "a b", "CC")),
        ("a { okay / ok / @ } b", "a okay ok b", ("a okay b", "a okay ok b", "CCIC")),
        ("a { okay / ok } b", "a b", ("a okay b", "a b", "CDC")),
        ("a { x y z / ok { p / q } } b", "a ok q b", ("a ok q b", "a ok q b", "CCCC")),
        ("a b", "a { x / b }", ("a b", "a b", "CC")),
        ("a {b/c}d", "a C d", ("a c d", "a C d", "CCC")),
        ("@", "b", ("", "b", "I")),
        ("b @*", "@", ("b", "", "D")),
        ("{ a / @ }", "", ("", "", "")),
        # equal costs whose sums differ in the last bit of single precision
        ("b c c", "a @", ("b c c", "a", "DSD")),
        ("@ c @", "c c b c", ("c", "c c b c", "ICII")),
    ],
)
def test_the_way_taken_is_sclites(ref, hyp, expected):
    assert one(ref, hyp) == expected


@pytest.mark.parametrize(
    ("ref", "hyp", "rules", "expected"),
    [
        ("a (uh) b", "a b", {}, ("a (uh) b", "a b", "CDC")),
        ("a (uh) b", "a b", {"optional": True}, ("a (uh) b", "a  b", "CCC")),
        ("a (uh) b", "a uh b", {"optional": True}, ("a (uh) b", "a uh b", "CCC")),
        ("a b", "a (uh) b", {"optional": True}, ("a  b", "a (uh) b", "CCC")),
        ("a wor- b", "a word b", {}, ("a wor- b", "a word b", "CSC")),
        ("a wor- -ord b", "a word word b", {"fragments": True}, ("a wor- -ord b", "a word word b", "CCCC")),
        ("a (wor-)", "a word", {"fragments": True}, ("a (wor-)", "a word", "CS")),
        ("a (wor-)", "a word", {"fragments": True, "optional": True}, ("a (wor-)", "a word", "CC")),
        ("A", "a", {"case_sensitive": True}, ("A", "a", "S")),
        ("{ ab / c } d", "xb d", {"chars": True}, ("a b d", "x b d", "SCC")),
    ],
)
def test_what_is_forgiven_is_what_sclite_forgives(ref, hyp, rules, expected):
    assert one(ref, hyp, **rules) == expected


def test_characters_are_not_forgiven():
    with pytest.raises(UserError, match="characters are not scored with optional words"):
        one("a", "a", chars=True, optional=True)


@pytest.mark.parametrize(("name", "rules"), [("networks", {}), ("forgiven", {"optional": True, "fragments": True})])
def test_reports_equal_the_golden_files_byte_for_byte(name, rules):
    directory = GOLDEN / f"sclite_{name}"
    lines = read_trn(directory / "ref.trn"), read_trn(directory / "hyp.trn")
    assert reports(aligned(*lines, **rules)) == (directory / "result.txt").read_bytes()


@pytest.mark.needs("sclite")
@pytest.mark.parametrize("seed", range(20))
def test_random_networks_equal_real_sclite_byte_for_byte(seed, tmp_path):
    lines = networks(seed)
    for name, side in zip(("ref.trn", "hyp.trn"), lines, strict=True):
        write_trn(tmp_path / name, side)
    case_sensitive, options = seed % 3 == 0, list(OPTIONS.values())[seed % 4]
    optional, fragments = "-D" in options, "-F" in options
    found = aligned(*lines, case_sensitive, optional, fragments)
    ours = detail.reports(found, case_sensitive, kinds=KINDS, optional=optional, fragments=fragments)
    real = detail.real_reports(PROGRAM, tmp_path, case_sensitive, kinds=KINDS, options=options)
    for kind in KINDS:
        assert detail.undated(ours[kind]) == detail.undated(real[kind])


@pytest.mark.needs("sclite")
@pytest.mark.parametrize(
    "vocabulary", [["a", "b", "ab", "ba"], ["a", "b", "@", "ab", "aab"], ["é", "aé", "B", "x*y", "b*"]]
)
def test_characters_of_networks_equal_real_sclite_byte_for_byte(vocabulary, tmp_path):
    lines = networks(len(vocabulary), 200, vocabulary)
    for name, side in zip(("ref.trn", "hyp.trn"), lines, strict=True):
        write_trn(tmp_path / name, side)
    found = aligned(*lines, chars=True)
    real = sclite.run_real(PROGRAM, tmp_path, reports="pra", chars=True)
    assert sclite.alignments(found) == real


@given(st.lists(st.tuples(*[st.lists(st.sampled_from("abcd"), max_size=6)] * 2), min_size=1, max_size=5))
def test_one_way_is_aligned_like_plain_words(pairs):
    """A lone alternation around every word goes through the network, and must not change a thing."""
    plain = [[words[side] for words in pairs] for side in (0, 1)]
    lines = [[Line("s", parse(" ".join(f"{{ {word} }}" for word in words), "x:1")) for words in side] for side in plain]
    assert [found.operations for found in aligned(*lines)] == align_words(*plain)


more = ["(s-1)", "(S-1)", "(x_1)", "(abcd)", "a/b", "{a", "a}", "**", "a*", "@*", ";;", "//", "(a)", "a-", "-a"]
pieces = st.sampled_from([*"abBé{}/@*;\\()- \t\r\v\0\ufeff", *more, " ", " "])
garbage = st.lists(pieces, max_size=12).map("".join)
plausible = st.lists(
    st.sampled_from(["a", "b", "B", "@", "(a)", "a-", "{ a / b }", "{ a b / @ }", "{a/{b/@}c}", "*", "é", ";"]),
    max_size=5,
).map(" ".join)
files = st.one_of(
    st.lists(plausible, min_size=1, max_size=3).map(lambda texts: [f"{text} (s-{k})" for k, text in enumerate(texts)]),
    st.lists(st.lists(pieces, max_size=6).map("".join), min_size=1, max_size=2).map(
        lambda texts: [f"{text} (s-{k})" for k, text in enumerate(texts)]
    ),
    st.lists(garbage, max_size=4),
    st.text(st.characters(codec="utf-8"), max_size=30).map(lambda text: [text]),
)


@pytest.mark.needs("sclite")
@examples(150)
@given(
    st.tuples(files, files),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["rm", "wsj", "spu_id"]),
    st.sampled_from(list(OPTIONS)),
    st.sampled_from(["\n", "\n", "\n", ""]),
)
def test_any_lines_are_scored_as_sclite_does_or_refused_by_name(
    tmp_path_factory, sides, twice, case_sensitive, id_form, forgiving, end
):
    directory = tmp_path_factory.mktemp("any")
    paths = directory / "ref.trn", directory / "hyp.trn"
    for path, lines in zip(paths, (sides[0], sides[0] if twice else sides[1]), strict=True):
        path.write_bytes(("\n".join(lines) + end).encode())
    optional, fragments = "D" in forgiving, "F" in forgiving
    try:
        ref, hyp = (read_trn(path, id_form, case_sensitive) for path in paths)
        found = aligned(matched(ref, hyp, *paths, case_sensitive), hyp, case_sensitive, optional, fragments)
    except UserError as error:
        file = next(str(path) for path in paths if str(error).startswith(str(path)))
        assert str(error)[len(file) :].startswith((":1: ", ":2: ", ":3: ", ":4: ", ": lacks ", ": holds no utterance"))
        return
    ours = detail.reports(found, case_sensitive, id_form, optional=optional, fragments=fragments)
    real = detail.real_reports(PROGRAM, directory, case_sensitive, id_form, options=OPTIONS[forgiving])
    for kind, report in ours.items():
        assert detail.undated(report) == detail.undated(real[kind])
