"""Labels and notes of strangers in Markdown: shown as they are written, and nothing else."""

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kdasr.cli import main
from kdasr.files import write_json
from kdasr.report.markdown import block, cell, code, inert, paragraph, visible

NASTY = [
    "a|b",
    "a\\|b",
    "`code`",
    "<script>alert(1)</script>",
    "<!-- hidden",
    "[x](javascript:alert(1))",
    "![](http://e.example/x.png)",
    "[x]: http://e.example",
    "**bold** _x_ ~~y~~",
    "&lt;b&gt;",
    "# heading",
    "- item",
    "1. item",
    "> said",
    "---",
    "a\n\n# b\r\n|c|\n|---|",
    "\u202eabc\u2028d\x1b[2J",
    "\ud800",
]
HARMLESS = [
    "student, word-KD k = 5 (greedy)",
    "long: Word-KD",
    "test_eval92 beam WER",
    "12.34 [11.00, 13.70]",
    "-0.50 [-1.20, +0.10]",
    "p(t = ŷ)",
    "5 < 6 & 7 > 3",
    "1/10.4",
    "98.60 ± 0.10 %",
    "<",
]
PIECES = [*NASTY, "](", "\\", "`", "``", "[1, 2]", ": ", "_", "a", " ", "é", "<a", "&#1;"]
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=20), st.lists(st.sampled_from(PIECES)).map("".join))
UNESCAPED = re.compile(r"\\[!-/:-@\[-`{-~]")  # an escape of Markdown's


def bare(text):
    """What is left of a text's markup when its escapes are out."""
    return UNESCAPED.sub("", text)


def shown(text):
    """A text as it is read: escapes resolved, then characters' names."""
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text.replace("&#92;", "\0"))).replace("\0", "\\")


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_labels_stay_as_they_are(text):
    assert cell(text) == text
    assert "[" in text or inert(text) == text


@given(texts)
@example("[1, 2](x) [1, 2][x] [1, 2]: x")
def test_nothing_is_left_that_could_be_markup_and_all_is_shown(text):
    for escaped in (inert(text), cell(text)):
        assert not re.search(r"[\x00-\x1f\x7f\u2028\u202e\ud800]", escaped)
        left = bare(escaped)
        assert not re.search(r"[|`*~\\]|<[A-Za-z/!?]|(?<!\w)_|_(?!\w)", left)
        assert "[" not in re.sub(r"\[[-+\d.]+, [-+\d.]+\](?![(\[:])", "", left)
    assert "[" not in bare(inert(text))
    assert shown(inert(text.replace("&", "+"))) == visible(text.replace("&", "+"))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b\\|c", "a\\|b&#92;\\|c"),
        ("<b> &lt; x<!-- <3", "&lt;b> &amp;lt; x&lt;!-- <3"),
        ("[x](javascript:y)", "\\[x](javascript:y)"),
        ("![](http://e)", "!\\[](http://e)"),
        ("a_b _c_ d__e__", "a_b \\_c\\_ d__e\\_\\_"),
        ("one\ntwo\r\n\tthree", "one two three"),
        ("\ud800\u202e", "\ufffd\ufffd"),
    ],
)
def test_escapes_by_hand(text, escaped):
    assert inert(text) == escaped


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("# no heading", "\\# no heading"),
        ("  - no list", "\\- no list"),
        ("12. no list", "12\\. no list"),
        ("> no quotation", "\\> no quotation"),
        ("---", "\\---"),
        ("see `x|<b>` and `", "see `x|<b>` and \\`"),
        ("12 words", "12 words"),
    ],
)
def test_a_note_is_a_paragraph_and_may_have_code(text, escaped):
    assert paragraph(text) == escaped


def test_code_has_a_longer_fence_than_what_is_in_it():
    assert code("costs:433|case:lc") == "`costs:433|case:lc`"
    assert code("a``b`") == "``` a``b` ```"
    assert block(["x", "y"]) == "```\nx\ny\n```"
    assert block(["x\n```\n# out", "````"]).startswith("`````\nx\n")


def structure(path):
    """The beginnings of lines that Markdown would obey, and the sizes of tables, outside blocks of code."""
    found, fence = [], ""
    for line in path.read_text().splitlines():
        if line.startswith("```"):
            fence = "" if line == fence else fence or line
        elif not fence:
            bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            found.append((re.match(r"(#+ |- |> |\|)?", line)[0], bars))
            left = bare(re.sub(r"`+[^`]*`+", "", line))
            assert "[" not in left and not re.search("<[A-Za-z/!?]", left)
    return found


def of_lms(exp, text, label):
    write_json(exp / "m/kdasr.json", {"label": label, "seed": 1, "parameters": 5})
    write_json(exp / "m/ppl/valid.json", {"ppl": 5.0})
    return ["lm", "report", "--exp", str(exp), f"--note={text}", f"--command={label}"]


def of_frames(exp, text, label):
    about = {"label": label, "share": 1.0, "temperature": None, "train_accuracy": 5.0, "valid_accuracy": 5.0}
    about |= {"parameters": 5, "cpu_seconds": 1.0, "frames": 5, "epochs": 2, "best_epoch": 1}
    write_json(exp / "m/kdasr.json", about)
    states = {"generalist": label, "groups": [{"states": [label]}], "temperature": 2.0, "cpu_seconds": 1.0}
    write_json(exp / "specialists_x/specialists.json", states | {"alone": 1, "together": 1, "tested": 2})
    return ["frames", "report", "--exp", str(exp), f"--note={text}", f"--command={label}"]


def of_systems(exp, text, label):
    score = {"wer": 5.0, "signature": label, "counts": dict.fromkeys(
        ("sentences", "words", "cor", "sub", "del", "ins", "errors", "wrong_sentences"), 2)}  # fmt: skip
    write_json(exp / "m/kdasr.json", {"label": label, "command": label})
    write_json(exp / "m/decode_beam/test/score_wer/score.json", score)
    return ["report", str(exp), f"--note={text}", f"--title={text}"]


@pytest.mark.parametrize("make", [of_lms, of_frames, of_systems])
def test_no_label_changes_the_structure_of_a_page(tmp_path, make):
    plain = tmp_path / "plain.md"
    assert main([*make(tmp_path / "plain", "a note", "a label"), "--out", str(plain)]) == 0
    for number, text in enumerate(NASTY):
        out = tmp_path / f"{number}.md"
        said = text.encode("utf-8", "replace").decode()  # a shell gives no other
        label = text if "\ud800" not in text else said
        assert main([*make(tmp_path / str(number), said, label), "--out", str(out)]) == 0
        assert structure(out) == structure(plain), text
