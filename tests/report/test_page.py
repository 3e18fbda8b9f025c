"""The page as a file: whatever text it shows, its markup is its own; and what the verb makes of its options."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from report_inputs import aligned, make_exp, tone
from test_report_table import exp  # noqa: F401 - a fixture

from kdasr.cli import main
from kdasr.report import collect, page
from kdasr.report.collect import Scored, System
from kdasr.report.compare import against_references

NASTY = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;&#0;&amp",
    "$\\frac{",
    "\u2028\u2029\u202e",
    "\x00\x01\x7f",
    "\ud800",
    "__proto__",
    "日本語",
]


class Markup(HTMLParser):
    """Tags with the names of their attributes, and the texts of script elements."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *sorted(name for name, _ in attributes if name != "class")))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.tags.append(("/" + tag,))
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data


def small(texts):
    """Systems and texts of one set: what stands in a page, all of it as given."""
    names = dict(
        zip(("teacher", "student", "set", "tag", "utterance", "word", "other", "signature"), texts, strict=True)
    )
    key = names["tag"], names["set"]
    one = aligned("a b", "a")
    one = type(one)((names["word"], "b"), (names["other"],), "SD")
    every = []
    for role in ("teacher", "student"):
        score = {"wer": 50.0, "signature": names["signature"], "counts": dict.fromkeys(
            ("sentences", "words", "cor", "sub", "del", "ins", "errors", "wrong_sentences"), 2)}  # fmt: skip
        scored = Scored(key[0], key[1], {"cpu_seconds": 1, "audio_seconds": 9}, score, {}, {names["utterance"]: (2, 2)})
        info = {"label": names[role], "role": role, "parameters": 5, "seed": 1, "teacher": None}
        info |= {"recipe": role, "learned_from": "references"}
        every.append(System(role, info, 20, {key: scored}))
    return every, {(system.name, key): {names["utterance"]: one} for system in every}, names


def rendered(texts):
    every, read, names = small(texts)
    about = page.About(names["other"], [names["word"]], [f"date: {names['word']}"], [names["other"]])
    return page.render(every, [], read, about), names


PLAIN = ["teacher one", "student one", "set one", "tag one", "utterance", "wordone", "other", "signature"]


@pytest.fixture(scope="module")
def plain_markup():
    return Markup(rendered(PLAIN)[0].decode())


hostile = st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=12))


@examples(15)
@given(st.lists(hostile, min_size=8, max_size=8))
def test_no_text_can_change_the_markup(plain_markup, texts):
    texts = [f"{place}{text}x" for place, text in enumerate(texts)]  # no two alike, none blank
    # an utterance and words have no blanks, and come from files that are UTF-8
    texts[4:7] = [text.replace(" ", "_").encode("utf-8", "replace").decode() for text in texts[4:7]]
    data, names = rendered(texts)
    text = data.decode()  # UTF-8 whatever was put in
    found = Markup(text)
    assert found.tags == plain_markup.tags
    assert found.scripts[1:] == plain_markup.scripts[1:]
    told = json.loads(found.scripts[0])
    written = {key: value.encode("utf-8", "replace").decode() for key, value in names.items()}
    assert told["labels"] == [written["teacher"], written["student"]]
    (one,) = told["sets"]
    assert (one["name"], one["ids"], one["refs"]) == (written["set"], [written["utterance"]], [f"{written['word']} b"])
    assert [entry["hyps"] for entry in told["scored"]] == [[f"/{written['other']} -"]] * 2
    assert "http" not in text.replace("http://www.w3.org/", "").replace("http-equiv", "")


def test_a_page_and_tables_in_one_run(tmp_path, capsys):
    found = make_exp(tmp_path, 12)
    capsys.readouterr()
    tone(tmp_path / "wav/a.wav", 0.5)
    names = sorted(line.split()[0] for line in (tmp_path / "test/text").read_text().splitlines())
    (tmp_path / "wav.scp").write_text("".join(f"{name} {tmp_path / 'wav/a.wav'}\n" for name in names))
    out = [tmp_path / "R.md", tmp_path / "report.html"]
    words = [
        "report",
        found,
        "-o",
        out[0],
        "-o",
        out[1],
        "--audio",
        tmp_path / "wav.scp",
        "--title",
        "T <1>",
        "--note",
        "n&m",
    ]
    assert main([str(word) for word in words]) == 0
    assert [line.rpartition("/")[2] for line in capsys.readouterr().err.splitlines()] == [
        "R.md: written",
        "report.html: written",
    ]
    text = out[1].read_text()
    assert out[0].read_text().startswith("# T <1>\n\nn&m\n\n## Summary") and "<title>T &lt;1&gt;</title>" in text
    again = f"kdasr report {found} --audio {tmp_path / 'wav.scp'} -o {out[0]} -o {out[1]}"
    assert again in out[0].read_text() and again in text
    data = json.loads(Markup(text).scripts[0])
    assert sorted(data["audio"]) == names  # of test; dev has the same names
    assert {one["name"] for one in data["sets"]} == {"dev", "test"}
    first = data["first"]
    assert data["sets"][first["set"]]["name"] == "test" and first["tag"] == "beam"
    assert data["systems"][first["a"]]["name"] == "teacher" and data["systems"][first["b"]]["name"] == "kd1"
    assert len(text) < 600_000


def test_figures_alone_make_a_page_without_texts(exp, tmp_path):  # noqa: F811
    from kdasr.report import figures

    figures.append(collect.systems(exp), tmp_path / "f.jsonl", figures.About("RESULTS", [], [], []))
    assert main(["report", "--figures", str(tmp_path / "f.jsonl"), "-o", str(tmp_path / "p.html")]) == 0
    data = json.loads(Markup((tmp_path / "p.html").read_text()).scripts[0])
    assert data["sets"][0]["refs"] == [None] * 20
    assert all("hyps" not in one for one in data["scored"])
    of_teacher = next(one for one in data["scored"] if one["system"] == 0 and one["tag"] == "beam")
    assert sorted(of_teacher["errors"]) == [0] * 10 + [1] * 10


def test_nothing_scored_yet(tmp_path):
    (tmp_path / "exp/bare").mkdir(parents=True)
    (tmp_path / "exp/bare/kdasr.json").write_text("{}")
    assert main(["report", str(tmp_path / "exp"), "-o", str(tmp_path / "p.html")]) == 0
    assert "none of them scored yet" in (tmp_path / "p.html").read_text()


@pytest.mark.parametrize(
    "words, told",
    [
        (["-o", "R.pdf"], "--out R.pdf: expected a name that ends in .md, .csv or .html"),
        (["-o", "R.md", "--audio", "data"], "--audio: only a page plays it"),
        (["-o", "R.html", "--audio", "none"], "none: no such file"),
    ],
)
def test_wrong_options_are_told_of(exp, tmp_path, monkeypatch, capsys, words, told):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(exp), *words]) == 1
    assert told in capsys.readouterr().err
    assert not list(tmp_path.glob("R.*"))


def test_matched_pairs_stand_beside_the_bootstrap(tmp_path):
    every = collect.systems(make_exp(tmp_path, 12))
    read = {(one.name, key): page.alignments.read(scored) for one in every for key, scored in one.scored.items()}
    table = page._with_matched_pairs(every, against_references(every), read)
    assert table[0][-1] == "matched pairs, p by seed" and len(table) == 5  # two sets, two searches
    from kdasr.score.against import against

    for row in table[1:]:
        path = f"decode_{row[2]}/{row[1]}/score_wer"
        wanted = [
            against(tmp_path / f"exp/kd{seed}" / path, tmp_path / f"exp/ref{seed}" / path)["matched"]["p"]
            for seed in (1, 2)
        ]
        assert row[-1] == ", ".join(f"{seed}: {p:.4f}" for seed, p in zip((1, 2), wanted, strict=True))
