"""The page as a file: whatever text it shows, its markup is its own; and what the verb makes of its options."""

import json
import math
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_inputs import aligned, make_exp, tone
from test_compare import scored, system
from test_report_table import exp  # noqa: F401 - a fixture

from kdasr.cli import main
from kdasr.report import collect, page, plots
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


@settings(max_examples=15)
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

    figures.write(collect.systems(exp), tmp_path / "f.jsonl")
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
        (["-o", "R.pdf"], "--out R.pdf: expected a name that ends in .md or .html"),
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


def about(**more):
    return page.About("T", [], [], [], **more)


def test_matched_pairs_are_of_the_same_seed():
    """A control of seed 1 that errs where its student does, one of seed 2 that errs elsewhere, one of seed 3 alone."""
    key, right, wrong = ("beam", "test"), ("a b c", "a b c"), ("a b c", "a x c")
    errs = {"ref1": (0, 1), "kd1": (0, 1), "ref2": (2, 3), "kd2": (0, 1, 4, 5, 6), "ref3": (0,), "kd4": (0,)}
    every, texts = [], {}
    for name, at in errs.items():
        lines = {f"u{k}": aligned(*(wrong if k in at else right)) for k in range(8)}
        texts[name, key] = lines
        label = "references" if name.startswith("ref") else "taught"
        every.append(system(name, label, scored([int(k in at) for k in range(8)], [3] * 8), seed=int(name[-1])))
    table = page._with_matched_pairs(every, against_references(every), texts)
    # seed 2: Z is 1 twice, -1 five times
    z = [1] * 2 + [-1] * 5
    sd = (sum((one - sum(z) / 7) ** 2 for one in z) / 6) ** 0.5
    p = math.erfc(abs(sum(z) / 7 / (sd / 7**0.5)) / 2**0.5)
    assert table[1][-1] == f"1: 1.0000, 2: {p:.4f}"
    del texts["kd2", key]
    other = {**texts["ref1", key], "u0": aligned("a b d", "a b d")}
    assert page._with_matched_pairs(every, against_references(every), texts)[1][-1] == "1: 1.0000"
    texts["ref1", key] = other
    assert page._with_matched_pairs(every, against_references(every), texts)[1][-1] == "-"
    assert page._with_matched_pairs(every, against_references(every), {})[0][-1] == "gap closed"


def test_scores_show_jiwers_rate_beside_sclites():
    rows = []
    for name, signature in (("a", "s"), ("b", None)):
        one = scored([3, 0], [8, 8])
        counts = {"sentences": 2, "wrong_sentences": 1, "cor": 14, "sub": 1, "del": 1, "ins": 1, "errors": 3}
        one.wer.update(counts=counts | {"words": 16}, jiwer=12.5, signature=signature or "t")
        if signature:
            one.cer.update(cer=9.0, counts=counts | {"words": 20}, signature="c")
        rows.append(system(name, "x", one, scored([1], [2], "other")))
        del rows[-1].scored["other", "test"].wer["counts"]
    tables = page._scores(rows)
    assert tables["WER"][0][-3:] == ["S.Err", "jiwer", "signature"]
    figures = ["decode_beam/test", "2", "16", "87.5", "6.3", "6.3", "6.3", "18.8", "50.0", "12.5"]
    assert tables["WER"][1:] == [["a", *figures, "s"], ["b", *figures, "t"]]
    assert [row[:2] + row[-3:] for row in tables["CER"][1:]] == [["a", "decode_beam/test", "50.0", "-", "c"]]


def test_points_of_size_and_speed_are_those_of_their_set(monkeypatch):
    """What is drawn: of each set and search the mean over seeds, of each set the speeds on it."""
    drawn = []
    monkeypatch.setattr(plots, "costs", lambda points, *_: drawn.append(points) or "")
    every = []
    for seed, more in ((1, 0), (2, 2)):
        sets = [
            scored([10 * number + more], [100], tag, name, cpu_seconds=float(number * seed), audio_seconds=10.0)
            for number, (tag, name) in enumerate([("greedy", "a"), ("beam", "a"), ("greedy", "b"), ("beam", "b")], 1)
        ]
        every.append(system(f"m{seed}", "one", *sets, seed=seed, parameters=100 if seed == 1 else 101, non_zero=50))
    keys = [("greedy", "a"), ("beam", "a"), ("greedy", "b"), ("beam", "b")]
    assert [place for place, _ in page._sizes(every, keys)] == [0, 1, 2, 3]
    assert [[(one.number, one.x, one.y) for one in points] for points in drawn] == [
        [(0, 50, 11.0)], [(0, 50, 21.0)], [(0, 50, 31.0)], [(0, 50, 41.0)],
    ]  # fmt: skip
    assert {round(one.sd, 6) for points in drawn for one in points} == {round(2**0.5, 6)}
    drawn.clear()
    assert [places for places, _ in page._speeds(every, keys)] == [[0, 1], [2, 3]]
    assert [[(one.name, one.x, one.y, one.hollow) for one in points] for points in drawn] == [
        [("greedy", pytest.approx(0.15), 11.0, True), ("beam", pytest.approx(0.3), 21.0, False)],
        [("greedy", pytest.approx(0.45), 31.0, True), ("beam", pytest.approx(0.6), 41.0, False)],
    ]


def test_the_browser_begins_with_the_teacher_and_the_best_student():
    """A student without texts, or that lacks the set, gives way to another seed of the best kind."""
    key, words = ("beam", "test"), [5, 5]
    every = [system("teacher", "teacher", scored([0, 1], words), role="teacher")]
    for label, rates in (("references", (4, 4)), ("worse", (3, 3)), ("better", (2, 1))):
        for seed, rate in enumerate(rates, 1):
            every.append(system(f"{label}{seed}", label, scored([rate, 0], words), seed=seed))
    names = [one.name for one in every]
    data = {"sets": [{"name": "dev"}, {"name": "test"}]}

    def first(texts=(), some=every):
        found = page._first(some, {(name, key): {} for name in texts}, key, data)
        return found and (found["set"], found["tag"], some[found["a"]].name, some[found["b"]].name)

    assert first() == (1, "beam", "teacher", "better1")
    assert first(names) == (1, "beam", "teacher", "better1")
    assert first(["teacher", "better2", "worse1"]) == (1, "beam", "teacher", "better2")
    assert first(some=every[:1]) == (1, "beam", "teacher", "teacher")
    assert first(some=every[1:]) == (1, "beam", "references1", "better1")
    assert page._first(every, {}, None, data) == {}
    assert page._first(every, {}, key, {"sets": [{"name": "dev"}]}) == {}


def test_audio_is_of_the_main_set_first_and_of_what_changed_most(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(page.audio, "clips", lambda wanted, known, room: asked.append((wanted, known, room)))
    (tmp_path / "wav.scp").write_text("x y.wav\n")
    every = [
        system(
            name,
            name,
            *(collect.Scored("beam", part, {}, {}, {}, {f"{part}{k}": (one, 9) for k, one in enumerate(errors)})
              for part in ("dev", "test")),
        )
        for name, errors in (("a", (0, 1, 2)), ("b", (0, 4, 1)))
    ]  # fmt: skip
    sets = [{"name": part, "ids": [f"{part}{k}" for k in range(3)]} for part in ("dev", "test")]
    data = {"sets": sets, "first": {"a": 0, "b": 1}}
    page._clips(every, data, ("beam", "test"), about(audio=[str(tmp_path / "wav.scp")], audio_mb=1.5))
    ((wanted, known, room),) = asked
    assert wanted == ["test1", "test2", "test0", "dev1", "dev2", "dev0"] and set(known) == {"x"} and room == 1_500_000
    for less in (about(), about(audio=["x"])):
        told = data if not less.audio else data | {"first": {}}
        assert page._clips(every, told, ("beam", "test"), less).uris == {}
