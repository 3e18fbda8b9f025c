import pytest

from kdasr.errors import UserError
from kdasr.score.align import Counts, count
from kdasr.score.kaldi import per_speaker, per_utterance, read_operations, wer_lines


def test_lines_are_compute_wers():
    counts = Counts(cor=5231, sub=359, del_=36, ins=53, sentences=333, wrong_sentences=200)
    assert wer_lines(counts, "wer") == (
        "%WER 7.96 [ 448 / 5626, 53 ins, 36 del, 359 sub ]\n"
        "%SER 60.06 [ 200 / 333 ]\n"
        "Scored 333 sentences, 0 not present in hyp.\n"
    )


def test_operations_are_read_as_written(tmp_path):
    rows = {
        "u1": (("the", "cat"), ("the", "bat", "sat"), "CSI"),
        "u2": ((), (), ""),
        "u3": (("op", "#csid"), ("op",), "CD"),  # words that look like the labels
    }
    path = tmp_path / "per_utt"
    path.write_text("".join(per_utterance(name, *row) for name, row in rows.items()))
    assert path.read_text().splitlines()[:4] == [
        "u1 ref  the  cat  ***",
        "u1 hyp  the  bat  sat",
        "u1 op    C    S    I ",
        "u1 #csid 1 1 1 0",
    ]
    assert read_operations(path) == {"u1": "CSI", "u2": "", "u3": "CD"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no utterance"),
        ("u1 op C S\nu1 #csid 2 0 0 0\n", r"per_utt:2: u1: its counts are not those of its op line"),
        ("u1 op C I\nu1 #csid 1 0 0 1\n", r"per_utt:2: u1: its counts are not those of its op line"),
        ("u1 op C X\nu1 #csid 1 0 0 0\n", r"per_utt:2: u1: expected C, S, D and I on its op line"),
        ("u1 #csid 0 0 0\n", r"per_utt:1: u1: expected four counts after '#csid', found '0 0 0'"),
        ("u1 #csid 0 0 0 1 0\n", r"per_utt:1: u1: expected four counts"),
        ("u1 #csid 0 0 0 -1\n", r"per_utt:1: u1: expected four counts"),
        ("u1 #csid 0 0 0 0\nu2 ref a\n", r"per_utt:2: the file ends within an utterance"),
        ("u1 #csid 0 0 0 0\nu2 ref a\nu2 hyp a\nu2 op C\n", r"per_utt:4: the file ends within an utterance"),
        ("u1 #csid 0 0 0 0\n\n", r"per_utt:2: expected 'UTTERANCE ref|hyp|op|#csid ...', found ''"),
        ("u1 wer C\n", r"per_utt:1: expected 'UTTERANCE"),
    ],
)
def test_what_is_no_per_utt_is_refused(tmp_path, text, message):
    (tmp_path / "per_utt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_operations(tmp_path / "per_utt")


def test_speakers_have_counts_and_percentages():
    lines = per_speaker({"4a1": count("CC"), "440": count("CCCSDI")}).splitlines()
    assert [line.split() for line in lines] == [
        ["SPEAKER", "id", "#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err"],
        ["440", "raw", "1", "5", "3", "1", "1", "1", "3", "1"],
        ["440", "sys", "1", "5", "60.00", "20.00", "20.00", "20.00", "60.00", "100.00"],
        ["4a1", "raw", "1", "2", "2", "0", "0", "0", "0", "0"],
        ["4a1", "sys", "1", "2", "100.00", "0.00", "0.00", "0.00", "0.00", "0.00"],
        ["SUM", "raw", "2", "7", "5", "1", "1", "1", "3", "1"],
        ["SUM", "sys", "2", "7", "71.43", "14.29", "14.29", "14.29", "42.86", "50.00"],
    ]
    assert len({len(line) for line in lines}) == 1
    long = per_speaker({"a speaker of a long name": count("CCS"), "b": count("SD")}).splitlines()
    assert len({len(line) for line in long}) == 1
    assert [line.split()[-7:] for line in long if " sys" in line] == [
        ["3", "66.67", "33.33", "0.00", "0.00", "33.33", "100.00"],
        ["2", "0.00", "50.00", "0.00", "50.00", "100.00", "100.00"],
        ["5", "40.00", "40.00", "0.00", "20.00", "60.00", "100.00"],
    ]


def test_words_are_centred_with_the_odd_blank_to_the_left():
    lines = per_utterance("u", ("abcd", "a", "bc"), ("x", "abcde"), "SSD").splitlines()
    assert lines[:3] == [
        "u ref  abcd    a     bc",
        "u hyp    x   abcde  ***",
        "u op     S     S     D ",
    ]


def test_a_speaker_without_words_has_no_percentages():
    lines = per_speaker({"a": count("II"), "b": count("CI")}).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["a", "raw", "1", "0", "0", "0", "2", "0", "2", "1"],
        ["b", "raw", "1", "1", "1", "0", "1", "0", "1", "1"],
        ["b", "sys", "1", "1", "100.00", "0.00", "100.00", "0.00", "100.00", "100.00"],
        ["SUM", "raw", "2", "1", "1", "0", "3", "0", "3", "2"],
        ["SUM", "sys", "2", "1", "100.00", "0.00", "300.00", "0.00", "300.00", "100.00"],
    ]
