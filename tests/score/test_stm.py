from pathlib import Path

import pytest
from drawn_texts import recordings
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.score import detail, sclite, stm
from kdasr.score.network import aligned

GOLDEN = Path(__file__).parent.parent / "golden" / "sclite_stm"
PROGRAM = sclite.find()


def reports(utterances, case_sensitive=False, kinds=("sys", "raw", "pra"), chars=False):
    return b"".join(detail.reports(utterances, case_sensitive, "stm", chars, kinds).values())


def written(directory, ref, hyp):
    paths = directory / "ref.stm", directory / "hyp.ctm"
    for path, text in zip(paths, (ref, hyp), strict=True):
        path.write_bytes(text.encode())
    return paths


def shares(directory, ref, hyp):
    """Each utterance's id, reference and hypothesis."""
    sides = stm.read(*written(directory, ref, hyp))
    return [
        (left.id, " ".join(map(str, left.words)), " ".join(right.words)) for left, right in zip(*sides, strict=True)
    ]


def test_words_go_to_the_segment_that_their_middle_lies_in(tmp_path):
    ref = "f A Bob 0 1 a\nf A x 1 2.5 b\nf A bob 3 4 c { d / e }\n"
    hyp = "f A 0.5 .98 one\nf A 0.9 0.2 two\nf A 1 1 three\nf A 2.7 .1 gap\nf A 9 1 late\n"
    assert shares(tmp_path, ref, hyp) == [
        ("bob-000", "a", "one"),
        ("x-000", "b", "two three"),
        ("bob-001", "c { d / e }", "gap late"),
    ]


def test_ends_are_single_floats_as_in_sclite(tmp_path):
    ref = "f A s 0 1.1 a\nf A s 1.1 1.3 b\nf A s 1.3 2 c\n"  # 1.1 becomes larger, 1.3 smaller
    assert [hyp for _, _, hyp in shares(tmp_path, ref, "f A 1.1 0 x\nf A 1.3 0 y\n")] == ["x", "", "y"]


def test_ignored_segments_are_dropped_with_their_words(tmp_path):
    ignored = "f A inter_segment_gap 0 1 ignore_time_segment_in_scoring\n"
    ref = ignored + "f A s 1 2 a\nf A s 2 3 IGNORE_TIME_SEGMENT_IN_SCORING"
    hyp = "f A 0 1 x\nf A 1 .5 a\nf A 8 1 y"
    assert shares(tmp_path, ref + "\n", hyp + "\n") == [("s-000", "a", "a")]


def test_labels_files_and_channels_are_notes(tmp_path):
    paths = written(tmp_path, ";; c\nF1 A s-t 0 1 <O,M> a\nF1 B s-t 0 1\n", "f1 a 0 1 a 0.7\n; c\nf1 b 0 1 @ NA\n")
    ref, hyp = stm.read(*paths)
    assert [line.notes for line in ref] == [("Labels: <o,m>", "File: f1", "Channel: a"), ("File: f1", "Channel: b")]
    assert [line.id for line in hyp] == ["s-t-000", "s-t-001"]
    assert list(sclite.by_speaker(aligned(ref, hyp), False, "stm")) == [b"s-t"]


STM, CTM = "f A s 0 1 a\n", "f A 0 1 a\n"


@pytest.mark.parametrize(
    ("ref", "hyp", "message"),
    [
        ("f A s 0\n", CTM, "ref.stm:1: expected 'FILE CHANNEL SPEAKER START END WORD...', found 'f A s 0'"),
        ("f A s 0 x a\n", CTM, "ref.stm:1: expected a number of seconds, found 'x'"),
        ("f A s -1 1 a\n", CTM, "ref.stm:1: expected a number of seconds, found '-1'"),
        ("f A s 0 1e99 a\n", CTM, "ref.stm:1: expected a number"),
        (f"f A s 0 {'9' * 99} a\n", CTM, "ref.stm:1: expected a number"),
        ("f A s 2 1 a\n", CTM, "ref.stm:1: the segment ends at 1 s, before it begins at 2 s"),
        (STM + "f A t 0.5 2 b\n", CTM, "ref.stm:2: the segment begins at 0.5 s, before that of "),
        (STM + "g A s 0 1 b\nf A s 1 2 c\n", CTM, "ref.stm:3: f a is here again after another recording"),
        ("f A s 0 1 a;b\n", CTM, "ref.stm:1: sclite reads ';' in 'a;b'"),
        ("f A s 0 1 { a / b\n", CTM, "ref.stm:1: '{' without its '}'"),
        ("f A s;t 0 1 a\n", CTM, "ref.stm:1: 's;t' holds"),
        ("** c\n" + STM, CTM, "ref.stm:1: sclite skips a line that begins with '**'"),
        (STM + ";; c", CTM, "ref.stm:2: the last line has no end"),
        ("", CTM, "ref.stm: holds no segment"),
        ("f A s 0 1 ignore_time_segment_in_scoring\n", CTM, "ref.stm: holds no segment to score"),
        (STM, "f A 0 1\n", "hyp.ctm:1: expected 'FILE CHANNEL START DURATION WORD', found 'f A 0 1'"),
        (STM, CTM + "\n", "hyp.ctm:2: expected 'FILE CHANNEL START DURATION WORD', found ''"),
        (STM, "f A 0 z a\n", "hyp.ctm:1: expected a number of seconds, found 'z'"),
        (STM, "f A &&0 1 a\n", "hyp.ctm:1: expected a number of seconds"),
        (STM, "f A 1 1 a\nf A 0 1 b\n", "hyp.ctm:2: 'b' begins before the word of "),
        (STM, "f A 0 1 <ALT_BEGIN>\n", "hyp.ctm:1: alternatives of a hypothesis"),
        (STM, "f A 0 1 a\r\r\n", "hyp.ctm:1: sclite cannot hold the control character in 'a\\r'"),
        (STM, f"f A 0 1 {'a' * 401}\n", "hyp.ctm:1: the word is longer than 400 bytes"),
        (STM, "; c\n", "hyp.ctm: holds no word"),
        (STM, "f 1 0 1 a\n", "hyp.ctm: lacks 1 of the 1 recordings of "),
        (STM + "g A s 0 1 b\n", CTM, "hyp.ctm: lacks 1 of the 2 recordings of "),
        (STM, CTM + "g A 0 1 a\n", "ref.stm: lacks 1 of the 2 recordings of "),
        (STM + "g A s 0 1 b\n", "g A 0 1 b\n" + CTM, "hyp.ctm:1: g a stands where "),
    ],
)
def test_what_does_not_fit_is_refused_with_file_and_line(tmp_path, ref, hyp, message):
    with pytest.raises(UserError) as caught:
        stm.read(*written(tmp_path, ref, hyp))
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_recording_without_a_word_tells_so_by_a_null_word(tmp_path):
    assert shares(tmp_path, STM, "f A 0 0 @\n") == [("s-000", "a", "@")]


def test_reports_equal_the_golden_files_byte_for_byte():
    assert reports(aligned(*stm.read(GOLDEN / "ref.stm", GOLDEN / "hyp.ctm"))) == (GOLDEN / "result.txt").read_bytes()


@pytest.mark.needs("sclite")
@pytest.mark.parametrize("seed", range(24))
def test_random_recordings_equal_real_sclite_byte_for_byte(seed, tmp_path):
    paths = written(tmp_path, *recordings(seed))
    case_sensitive, optional, fragments = seed % 2 == 1, seed % 3 == 1, seed % 5 == 1
    found = aligned(*stm.read(*paths, case_sensitive), case_sensitive, optional, fragments)
    options = ["-D"] * optional + ["-F"] * fragments
    real = stm.real_reports(PROGRAM, *paths, case_sensitive, options, "sum rsum dtl pra")
    assert reports(found, case_sensitive, ("sys", "raw", "dtl", "pra")) == real


@pytest.mark.needs("sclite")
@pytest.mark.parametrize("seed", range(12))
def test_characters_of_random_recordings_equal_real_sclite_byte_for_byte(seed, tmp_path):
    words = ["über", "Über", "É", "é", "日本語", "日本", "naïve*", "ab", "aB", "**x", "a\u00a0b"]
    paths = written(tmp_path, *recordings(seed, words))
    case_sensitive = seed % 2 == 1
    found = aligned(*stm.read(*paths, case_sensitive), case_sensitive, chars=True)
    kinds = ("sys", "raw", "dtl", "pra")
    real = stm.real_reports(PROGRAM, *paths, case_sensitive, (), "sum rsum dtl pra", chars=True)
    assert reports(found, case_sensitive, kinds, chars=True) == real
    assert b"# Chr" in real and stm.real_reports(PROGRAM, *paths, case_sensitive) != real


def test_marks_and_line_ends_of_other_systems_are_no_part_of_a_name_or_word(tmp_path):
    ref, hyp = "f A s 0 1 a b\nf A s 1 2 c\n", "f A 0 .5 a\nf A 1 .5 c 0.5\n"
    plain = stm.read(*written(tmp_path, ref, hyp))
    for mark, end in (("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")):
        paths = written(tmp_path, *(mark + text.replace("\n", end) for text in (ref, hyp)))
        assert stm.read(*paths) == plain
        if PROGRAM:  # it is given what was read
            assert reports(aligned(*plain)) == stm.real_reports(PROGRAM, *paths)


@pytest.mark.needs("sclite")
def test_more_segments_and_words_than_sclites_buffers_hold(tmp_path):
    times = range(0, 4500, 10)
    ref = [f"{file} A s{time % 70} {time} {time + 10} {'a b c d e ' * 3}" for file in "fg" for time in times]
    hyp = [f"{file} A {time + k / 2} .2 {'abcxe'[k % 5]}" for file in "fg" for time in times for k in range(14)]
    paths = written(tmp_path, "\n".join(ref) + "\n", "\n".join(hyp) + "\n")
    assert len(ref) > 800 and len(hyp) > 12000
    assert reports(aligned(*stm.read(*paths))) == stm.real_reports(PROGRAM, *paths)


spoken = st.sampled_from(["a", "b", "B", "@", "(a)", "a-", "*", "é", "**"])
said = st.one_of(spoken, st.sampled_from(["{ a / b }", "ignore_time_segment_in_scoring"]))
junk = st.lists(
    st.sampled_from(
        ["f", "A", "a;", "<O>", "{", "@", "-1", "0x1", "1e3", "nan", ";", "**", "\r", "\0", "\\", "//", "1", "2"]
    ),
    max_size=8,
).map(" ".join)


@st.composite
def files(draw):
    """An stm and a ctm that mostly fit, with now and then a line that does not."""
    ref, hyp = [], []
    for recording in draw(st.lists(st.sampled_from(["f A", "f B", "g A"]), min_size=1, max_size=3, unique=True)):
        time = 0.0
        for _ in range(draw(st.integers(1, 4))):
            start = round(time + draw(st.sampled_from([0, 0, 0.1, 0.4])), 1)
            time = round(start + draw(st.sampled_from([0, 0.1, 0.3, 1])), 1)
            head = f"{recording} {draw(st.sampled_from(['s', 't-u', 'S']))} {start} {time}"
            ref.append(" ".join([head, draw(st.sampled_from(["", "<O>"])), *draw(st.lists(said, max_size=3))]))
        begin = 0.0
        for _ in range(draw(st.integers(1, 4))):
            begin += draw(st.sampled_from([0, 0.1, 0.2, 0.5]))
            ending = draw(spoken), draw(st.sampled_from(["", ".5", "NA"]))
            tail = " ".join([draw(st.sampled_from(["0", ".1", "0.3", "1"])), *ending])
            hyp.append(f"{recording} {begin:.2f} {tail}")
    for lines in (ref, hyp):
        if draw(st.integers(0, 3)) == 0:
            lines.insert(draw(st.integers(0, len(lines))), draw(st.one_of(junk, st.just(";; c"), st.text(max_size=9))))
    return "\n".join(ref), "\n".join(hyp)


@pytest.mark.needs("sclite")
@examples(100)
@given(files(), st.booleans(), st.sampled_from(["\n", "\n", "\n", ""]))
def test_any_files_are_scored_as_sclite_does_or_refused_by_name(tmp_path_factory, texts, case_sensitive, end):
    paths = written(tmp_path_factory.mktemp("any"), *(text.encode(errors="replace").decode() + end for text in texts))
    try:
        found = aligned(*stm.read(*paths, case_sensitive), case_sensitive)
    except UserError as error:
        file = next(str(path) for path in paths if str(error).startswith(str(path)))
        rest = str(error)[len(file) :]
        assert rest.split(":")[1].isdigit() or rest.startswith((": lacks ", ": holds no "))
        return
    assert reports(found, case_sensitive) == stm.real_reports(PROGRAM, *paths, case_sensitive)
