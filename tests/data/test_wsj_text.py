"""WSJ's texts: every rule of Kaldi's normalisation, index lines, .dot files, speaker tables."""

import pytest

from kdasr.data.wsj_text import normalise, read_dot, read_genders, read_index, sessions, transcripts
from kdasr.errors import UserError


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        # whole words only
        ("%PERCENT", "PERCENT"),
        ("ten %percent a year", "TEN PERCENT A YEAR"),
        ("TEN%PERCENT", "TEN%PERCENT"),
        ("two .POINT five", "TWO POINT FIVE"),
        (".POINTS", ".POINTS"),
        # marks that are no words
        ("the door [<door_slam] shut", "THE DOOR SHUT"),
        ("the [door_slam>] door", "THE DOOR"),
        ("[phone_ring/] hello [/phone_ring] there", "HELLO THERE"),
        ("hello[phone_ring/] there", "THERE"),
        ("cut off ~", "CUT OFF"),
        ("a . pause", "A PAUSE"),
        ("~~ a..", "~~ A.."),
        # any word with a noise in it
        ("[loud_breath] yes", "<NOISE> YES"),
        ("a wor[d]- here", "A <NOISE> HERE"),
        ("[noise]s tr[cough]uck", "<NOISE> <NOISE>"),
        # marked as deleted, but spoken
        ("<and> so", "AND SO"),
        (r"the <company\'s> shares", "THE COMPANY'S SHARES"),
        ("<two words>", "<TWO WORDS>"),
        ("<half-way>", "<HALF-WAY>"),
        # dash
        ("wait --DASH no", "WAIT -DASH NO"),
        ("INCORPORATED-DASH", "INCORPORATED-DASH"),
        # verbalised punctuation stays, without backslashes
        (r"\,COMMA \.PERIOD \"DOUBLE\-QUOTE I\. B\. M\.", ',COMMA .PERIOD "DOUBLE-QUOTE I. B. M.'),
        # no noise: not letters, digits and _ alone
        ("[<lip_smack>] [a b]", "[<LIP_SMACK>] [A B]"),
        # stay until scoring
        (r"*mispronounced* !emphatic :l\:ong", "*MISPRONOUNCED* !EMPHATIC :L:ONG"),
        ("", ""),
        (". ~ [<door_slam]", ""),
        (" spaces\t and  tabs ", "SPACES AND TABS"),
        ("caf\xe9", "CAF\xe9"),  # perl's tr/a-z/A-Z/ knows ASCII only
    ],
)
def test_normalisation(transcript, expected):
    assert normalise(transcript) == expected


def test_index(tmp_path):
    path = tmp_path / "a.ndx"
    path.write_bytes(
        b";; comment\r\n11_1_1:wsj0/si_tr_s/011/011c0201.wv1\r\n\r\n"
        b"13_33_1: /wsj1/si_et_h1/wsj64k/4oa/4oac0201.wv1\n;11_1_1:no\n\x1a"
    )
    assert read_index(path) == [
        ("11-1.1", "wsj0/si_tr_s/011/011c0201.wv1"),
        ("13-33.1", "wsj1/si_et_h1/wsj64k/4oa/4oac0201.wv1"),
    ]


@pytest.mark.parametrize("line", ["wsj0/si_tr_s/011/011c0201.wv1", "11_1_1:", "11_1_1: a b", "11-1.1:wsj0/a.wv1"])
def test_bad_index_line_is_named(tmp_path, line):
    path = tmp_path / "a.ndx"
    path.write_text(f"11_1_1:wsj0/a.wv1\n{line}\n")
    with pytest.raises(UserError, match=r"a\.ndx:2: expected 'DISC: PATH'"):
        read_index(path)


def test_dot_lines(tmp_path):
    path = tmp_path / "011C0200.DOT"
    path.write_bytes(
        b"The sale (of A.) went well (011c0201)\r\n\n(011c0202)\n"
        b"Second (011C0203)  \nfirst (011c0204)\nlast (011c0204)\n"
    )
    assert {key: value.strip() for key, value in read_dot(path).items()} == {
        "011c0201": "The sale (of A.) went well",
        "011c0202": "",
        "011c0203": "Second",
        "011c0204": "last",
    }
    path.write_text("good (011c0201)\nno id here\n")
    with pytest.raises(UserError, match=r"011C0200\.DOT:2: expected 'TEXT \(UTTERANCE\)', found 'no id here'"):
        read_dot(path)


def test_sessions_take_the_last_file_and_count_strangers(tmp_path):
    paths = [tmp_path / "a" / "011c0200.dot", tmp_path / "b" / "011C0200.DOT", tmp_path / "notes.dot"]
    assert sessions(paths) == ({"011c02": paths[1]}, 1)


def test_transcripts(tmp_path):
    (tmp_path / "011c0200.dot").write_text("One [cough] (011c0201)\n. ~ (011c0202)\nUnasked (011c0209)\n")
    (tmp_path / "012c0200.dot").write_text("Two (012c0201)\n")
    dots, _ = sessions(tmp_path.iterdir())
    texts, without = transcripts(["011c0201", "011c0202", "011c0203", "012c0201"], dots, "set")
    assert texts == {"011c0201": "ONE <NOISE>", "012c0201": "TWO"}
    assert without == ["011c0202", "011c0203"]
    with pytest.raises(UserError, match=r"set: no transcript file 013c0200\.dot .* 013c0201 needs"):
        transcripts(["013c0201"], dots, "set")


def test_genders(tmp_path):
    (tmp_path / "a").write_text("; ID SEX\n011 M\n012\tF  31 Boston\n;013 M\n014 -- 30\n015\n016 M\n")
    (tmp_path / "b").write_text("011 m\n016 F\n4OA F\n")
    assert read_genders([tmp_path / "a", tmp_path / "b"]) == {"011": "m", "012": "f", "4oa": "f"}
    with pytest.raises(UserError, match="cannot be read"):
        read_genders([tmp_path / "absent"])


def test_a_speaker_table_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf011 M\r\n012 F\r\n")
    assert read_genders([tmp_path / "a"]) == {"011": "m", "012": "f"}
