"""What the page is made of, each part by hand: whose figures a picture, a table and the browser's beginning have."""

import math
import re

import pytest
from report_inputs import aligned
from test_compare import scored, system

from kdasr.files import write_json
from kdasr.report import collect, page, plots
from kdasr.report.compare import against_references


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
            scored([number * (10 + more)], [100], tag, name, cpu_seconds=float(number * seed), audio_seconds=10.0)
            for number, (tag, name) in enumerate([("greedy", "a"), ("beam", "a"), ("greedy", "b"), ("beam", "b")], 1)
        ]
        every.append(system(f"m{seed}", "one", *sets, seed=seed, parameters=100 if seed == 1 else 101, non_zero=50))
    keys = [("greedy", "a"), ("beam", "a"), ("greedy", "b"), ("beam", "b")]
    assert [place for place, _ in page._sizes(every, keys)] == [0, 1, 2, 3]
    assert [[(one.number, one.x, one.y) for one in points] for points in drawn] == [
        [(0, 50, 11.0)], [(0, 50, 22.0)], [(0, 50, 33.0)], [(0, 50, 44.0)],
    ]  # fmt: skip
    assert [one.sd for points in drawn for one in points] == pytest.approx([n * 2**0.5 for n in (1, 2, 3, 4)])
    drawn.clear()
    assert [places for places, _ in page._speeds(every, keys)] == [[0, 1], [2, 3]]
    assert [[(one.name, one.x, one.y, one.hollow) for one in points] for points in drawn] == [
        [("greedy", pytest.approx(0.15), 11.0, True), ("beam", pytest.approx(0.3), 22.0, False)],
        [("greedy", pytest.approx(0.45), 33.0, True), ("beam", pytest.approx(0.6), 44.0, False)],
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


def test_targets_are_told_with_their_settings_and_warnings(tmp_path):
    measured = {"wer_1best": 12.346, "wer_targets": 9.5}
    summary = {"utterances": 1200, "hypotheses_read": 24000, "targets": 5500, "measured": measured}
    summary |= {"dropped": {"long": 3, "empty": 12}, "of_low_weight": 7, "mean_best_weight": 0.6, "warning": "few"}
    told = {"settings": {"select": "best", "k": 5}, "summary": summary}
    write_json(tmp_path / "b/targets_y/targets.json", {"settings": {}, "summary": {"utterances": 3}})
    write_json(tmp_path / "a/targets_x/targets.json", told)
    found = page._nbest(str(tmp_path))
    assert found["targets"] == [
        ["targets", "teacher", "selection", "utterances", "hypotheses read", "targets", "left out", "of low weight",
         "mean best weight", "WER of the teacher's best", "of the targets"],
        ["x", "a", "best, 5 best", "1,200", "24,000", "5,500", "12 empty, 3 long", "7", "0.6", "12.35", "9.50"],
        ["y", "b", "-, - best", "3", "-", "-", "none", "-", "-", "-", "-"],
    ]  # fmt: skip
    assert found["warnings"] == ["x: few"] and found["picture"] == ""


def test_bars_columns_and_cautions_of_the_page():
    """Bars and whiskers are parts of the longest; cells know by what they are sorted and when they are shown."""
    keys = [("greedy", "a"), ("beam", "a"), ("beam", "b")]
    every = []
    for name, label, rate, parameters, role in (
        ("teacher", "teacher", 10, 1000, "teacher"), ("kd", "taught", 20, 250, "student"),
    ):  # fmt: skip
        sets = [scored([rate + place], [100], *key) for place, key in enumerate(keys)]
        for place, one in enumerate(sets):
            one.wer["interval95"] = [rate - 15.0, rate + 30.0 + place]
        teacher = None if role == "teacher" else "teacher"
        every.append(system(name, label, *sets, role=role, parameters=parameters, teacher=teacher))
    text = page.render(every, [], {}, page.About("T", ["note <1>"], ["e: `1`"], ["c"])).decode()
    # 1000 and 250 parameters; rates of b, the last of the test sets: 12 and 22 %, intervals -5 to 42 and 5 to 52 %
    assert re.findall(r'class="fill (\w+)" style="width:([\d.]+)%"', text) == [
        ("teacher", "100.00"), ("student", "25.00"), ("student", "42.31"), ("teacher", "23.08"),
    ]  # fmt: skip
    assert re.findall(r'class="whisker" style="left:([\d.]+)%;width:([\d.]+)%"', text) == [
        ("9.62", "90.38"), ("0.00", "80.77"),
    ]  # fmt: skip
    (row,) = re.findall(r'<tr data-series="1">(.*?)</tr>', text, re.DOTALL)
    cells = re.findall(r'<td class="num"(?: data-keys="([\d ]+)")? data-v="([\d.]*)">([^<]*)', row)
    assert [(shown.split(), value, said) for shown, value, said in cells] == [
        ([], "4.0", "4.0"),
        (["0"], "20.0", "20.00"), (["0"], "", "-"), (["1"], "21.0", "21.00"), (["1"], "", "-"),
        (["2"], "22.0", "22.00"), (["2"], "", "-"),
        ([], "250", "250"), ([], "1000", "0.0"), ([], "", "-"),
    ]  # fmt: skip
    table = text.partition("</thead>")[0]
    assert re.findall(r" data-rising>([^<]*)", table) == ["× smaller"]  # of which more is better
    heads = re.findall(r'<th scope="col" class="num"(?: data-rising)?(?: data-keys="([\d ]+)")?>([^<]*)', table)
    assert [(shown.split(), title.strip()) for shown, title in heads] == [
        (shown, title) for (shown, _, _), title in zip(
            [(one[0].split(), *one[1:]) for one in cells],
            ["× smaller", *["WER", "CER"] * 3, "parameters", "MB", "training"], strict=True)
    ]  # fmt: skip
    cautions = text.partition('class="cautions"')[2].partition("</aside>")[0]
    assert cautions.index("<strong>note &lt;1&gt;</strong>") < cautions.index("A small set: 100 words")
