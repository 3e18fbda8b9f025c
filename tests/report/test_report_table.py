import json
import random

import pytest
from kinds import facts

from kdasr.cli import main
from kdasr.report import collect, compare, provenance, table
from kdasr.report.headline import headline
from kdasr.score.measures import WER
from kdasr.score.rules import Rules
from kdasr.score.score import score

REFERENCES = "student on references"
SEQUENCE = "student on 5-best"


def write_score(directory, errors, words, kind="wer"):
    """A score directory whose utterances have these errors (all substitutions) out of `words` each."""
    directory.mkdir(parents=True)
    total, count = sum(errors), words * len(errors)
    counts = {"sentences": len(errors), "wrong_sentences": sum(e > 0 for e in errors), "speakers": 1, "words": count}
    counts |= {"cor": count - total, "sub": total, "del": 0, "ins": 0, "errors": total}
    rate = 100 * total / count
    body = {"type": kind, "counts": counts, kind: rate, "interval95": [rate - 1, rate + 1]}
    body |= {"signature": f"costs:433|tok:{kind}", "command": f"kdasr score --type {kind}"}
    (directory / "score.json").write_text(json.dumps(body))
    lines = [f"u{k} #csid {words - e} {e} 0 0" for k, e in enumerate(errors)]
    (directory / "per_utt").write_text("\n".join(lines) + "\n")


def write_model(exp, name, label, parameters, seed=1, seconds=60.0, **info):
    (exp / name).mkdir(parents=True)
    body = {"parameters": parameters, "train_seconds": seconds, "cpu_seconds": 50.0, "seed": seed, "label": label}
    body |= {"role": "student", "git": "abc", **facts(label, info.get("role", "student")), **info}
    (exp / name / "kdasr.json").write_text(json.dumps(body))
    (exp / name / "valid.acc.ave_3best.pth").write_bytes(bytes(parameters * 4))
    (exp / name / "valid.acc.ave.pth").symlink_to("valid.acc.ave_3best.pth")
    return exp / name


def write_decode(model, tag, name, errors, cpu, audio=100.0):
    path = model / f"decode_{tag}" / name
    write_score(path / "score_wer", errors, 10)
    write_score(path / "score_cer", [min(e, 2) for e in errors], 50, "cer")
    options = {"beam": 1 if tag == "greedy" else 5, "ctc_weight": 0.3}
    body = {"audio_seconds": audio, "cpu_seconds": cpu, "wall_seconds": cpu, "utterances": len(errors)}
    (path / "decode.json").write_text(json.dumps(body | {"options": options}))


@pytest.fixture
def exp(tmp_path):
    root = tmp_path / "exp"
    teacher = write_model(root, "teacher", "teacher", 1_000_000, seconds=7300.0, role="teacher", teacher=None)
    write_decode(teacher, "greedy", "test", [1] * 20, 40.0)
    write_decode(teacher, "beam", "test", [1] * 10 + [0] * 10, 80.0)
    for seed in (1, 2):
        one = write_model(root, f"ref{seed}", REFERENCES, 100_000, seed, teacher="teacher")
        write_decode(one, "greedy", "test", [3] * (10 + seed) + [2] * (10 - seed), 10.0)
        two = write_model(root, f"kd{seed}", SEQUENCE, 100_000, seed, 125.0, teacher="teacher")
        write_decode(two, "greedy", "test", [2] * (10 + seed) + [1] * (10 - seed), 10.0)
    write_model(root, "unfinished", "unfinished student", 50_000, train_seconds=None)
    return root


def rows_against(exp):
    """The comparison with the student on references, header included."""
    return compare.comparison(compare.against_references(collect.systems(exp)))


GOLDEN = """\
# T

a note

## Summary

|system|runs|parameters|of teacher|test greedy|test beam|gap closed, test beam|
|---|---:|---:|---:|---:|---:|---:|
|teacher|1|1,000,000|1|10.00|5.00|-|
|student on references|2|100,000|1/10.0|25.75 ± 0.35|-|-|
|student on 5-best|2|100,000|1/10.0|15.75 ± 0.35|-|-|

SUMMARY

## Systems

|system|seed|parameters|of teacher|MB|test greedy WER|test greedy CER|test beam WER|test beam CER|RTF greedy|RTF beam|training|
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
|teacher|1|1,000,000|1|4.0|10.00 [9.00, 11.00]|2.00|5.00 [4.00, 6.00]|1.00|0.400|0.800|2.0 h|
|student on references|1|100,000|1/10.0|0.4|25.50 [24.50, 26.50]|4.00|-|-|0.100|-|60 s|
|student on references|2|100,000|1/10.0|0.4|26.00 [25.00, 27.00]|4.00|-|-|0.100|-|60 s|
|student on 5-best|1|100,000|1/10.0|0.4|15.50 [14.50, 16.50]|3.10|-|-|0.100|-|2 min|
|student on 5-best|2|100,000|1/10.0|0.4|16.00 [15.00, 17.00]|3.20|-|-|0.100|-|2 min|
|unfinished student|1|50,000|1/20.0|0.2|-|-|-|-|-|-|-|

LEGEND

Signature: `costs:433|tok:cer`

Signature: `costs:433|tok:wer`

## Seeds

|system|set|tag|WER mean ± sd|95 % interval of the mean|WER by seed|
|---|---|---|---:|---:|---:|
|student on references|test|greedy|25.75 ± 0.35|22.57 to 28.93|1: 25.50, 2: 26.00|
|student on 5-best|test|greedy|15.75 ± 0.35|12.57 to 18.93|1: 15.50, 2: 16.00|

## Against the student on references

|system|set|tag|difference|95 % interval|p|over seeds|beyond noise|gap closed|
|---|---|---|---:|---:|---:|---:|---|---:|
|student on 5-best|test|greedy|-10.00|-10.00 to -10.00|0.0002|-11.52 to -8.48|yes|0.63 [0.54, 0.73]|

COMPARISON

## teacher: WER

|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|
|---|---:|---:|---:|---:|---:|---:|---:|---:|
|decode_beam/test|20|200|95.0|5.0|0.0|0.0|5.0|50.0|
|decode_greedy/test|20|200|90.0|10.0|0.0|0.0|10.0|100.0|

## teacher: CER
"""  # noqa: E501


def test_the_report_of_a_small_exp(exp):
    every = collect.systems(exp)
    text = table.render(
        every, compare.against_references(every), "T", ["a note"], ["date: `today`", "CPU: `one`"], ["./run.sh"]
    )
    golden = GOLDEN.replace("COMPARISON", compare.comparison_note(WER)).replace(
        "LEGEND", table.legend(every).split("\n\n")[0]
    )
    golden = golden.replace("SUMMARY", compare.summary_note(WER))
    assert text[: len(golden)] == golden
    end = "## Environment\n\n- date: `today`\n- CPU: `one`\n\n## Commands\n\n```\n"
    assert text.endswith(end + "./run.sh\n```\n")
    assert provenance.recorded_commands(every) == ["kdasr score --type wer", "kdasr score --type cer"]


def tell(model, ppl=None, mode=None, tag="beam", name="test"):
    """Add a perplexity and a mode's probability to a model directory."""
    if ppl is not None:
        (model / "ppl").mkdir(exist_ok=True)
        (model / f"ppl/{name}.json").write_text(json.dumps({"ppl": ppl, "tokens": 100, "model": "abc"}))
    if mode is not None:
        path = model / f"decode_{tag}/{name}/decode.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"mode_probability": mode}))


def test_modes_of_models_and_means_over_seeds(exp):
    tell(exp / "teacher", 1.5, 0.62)
    for seed in (1, 2):
        # greedy WERs are 25.5 and 26.0
        write_decode(exp / f"ref{seed}", "beam", "test", [2] * (10 + 2 * seed) + [3] * (10 - 2 * seed), 50.0)  # 24, 23
        tell(exp / f"ref{seed}", 3.0 + seed, 0.1 * seed)
    tell(exp / "kd1", 9.0)
    tell(exp / "kd1", 12.0, name="dev")
    every = collect.systems(exp)
    assert compare.mode_table(every) == [
        ["system", "set", "tag", "greedy WER", "WER", "greedy - WER", "PPL", "p(t = ŷ)"],
        ["teacher", "test", "beam", "10.00", "5.00", "5.00", "1.50", "62.00"],
        [REFERENCES, "test", "beam", "25.75 ± 0.35", "23.50 ± 0.71", "2.25 ± 1.06", "4.50 ± 0.71", "15.00 ± 7.07"],
        [SEQUENCE, "dev", "greedy", "-", "-", "-", "12.00", "-"],
        [SEQUENCE, "test", "greedy", "15.75 ± 0.35", "-", "-", "9.00", "-"],
    ]
    text = table.render(every, [], "T", [], [], [])
    assert "## Beam, perplexity, mode\n\n|system|set|tag|" in text and compare.MODES in text


def test_a_difference_needs_both_searches_of_a_seed(exp):
    write_decode(exp / "ref1", "beam", "test", [2] * 20, 50.0)
    tell(exp / "ref1", mode=0.5)
    (exp / "ref1/decode_greedy/test/score_wer/score.json").unlink()
    (row,) = [row for row in compare.mode_table(collect.systems(exp)) if row[0] == REFERENCES]
    assert row[2:] == ["beam", "26.00", "20.00", "-", "-", "50.00"]


def test_no_table_of_modes_where_nothing_is_said(exp):
    assert len(compare.mode_table(collect.systems(exp))) == 1
    assert compare.MODES not in table.render(collect.systems(exp), [], "T", [], [], [])


def test_weights_that_are_not_zero_are_counted_once_a_model_was_pruned(exp):
    write_model(exp, "pruned", "pruned student", 100_000, non_zero=20_500, teacher="teacher")
    head, *rows = table.main_table(collect.systems(exp))
    assert head[2:5] == ["parameters", "non-zero", "of teacher"]
    assert next(row[4] for row in rows if row[0] == "pruned student") == "1/48.8"  # of 1,000,000
    assert {row[0]: row[3] for row in rows} == {
        "teacher": "-", REFERENCES: "-", SEQUENCE: "-", "unfinished student": "-", "pruned student": "20,500",
    }  # fmt: skip
    assert {len(row) for row in rows} == {len(head)}


def test_a_pruned_teacher_on_references_is_not_what_others_are_compared_with(exp):
    pruned = write_model(exp, "a", "a pruned teacher, references", 1_000_000, non_zero=100_000)
    write_decode(pruned, "greedy", "test", [4] * 20, 10.0)
    assert compare.base_of(collect.systems(exp), [collect.systems(exp)[-1]])[0].label == REFERENCES
    assert {row[0] for row in rows_against(exp)[1:]} == {SEQUENCE, "a pruned teacher, references"}


def test_each_network_is_compared_with_its_own_on_references(exp):
    small = write_model(exp, "small", f"tiny: {REFERENCES}", 50_000)
    write_decode(small, "greedy", "test", [6] * 20, 10.0)
    taught = write_model(exp, "small_kd", f"tiny: {SEQUENCE}", 50_000, teacher="teacher")
    write_decode(taught, "greedy", "test", [4] * 20, 10.0)
    rows = {row[0]: row for row in rows_against(exp)[1:]}
    assert set(rows) == {SEQUENCE, f"tiny: {SEQUENCE}"}
    assert rows[f"tiny: {SEQUENCE}"][3] == "-20.00" and rows[f"tiny: {SEQUENCE}"][-1].startswith("0.40 ")
    assert rows[SEQUENCE][3] == "-10.00"


def test_networks_of_one_size_are_told_apart_by_name(exp):
    size = next(one for one in collect.systems(exp) if one.label == REFERENCES).info["parameters"]
    for name, label, errors in (("long", REFERENCES, 5), ("long_kd", SEQUENCE, 2)):
        model = write_model(exp, f"a_{name}", f"long: {label}", size, teacher="teacher")
        write_decode(model, "greedy", "test", [errors] * 20, 10.0)
    rows = {row[0]: row for row in rows_against(exp)[1:]}
    assert rows[f"long: {SEQUENCE}"][3] == "-30.00"  # of 10 words an utterance 5 and 2 are wrong
    assert rows[SEQUENCE][3] == "-10.00"
    groups = collect.groups([one for one in collect.systems(exp) if not one.is_teacher])
    students = list(map(collect.label_of, groups.values()))
    assert students == [REFERENCES, SEQUENCE, "unfinished student", f"long: {REFERENCES}", f"long: {SEQUENCE}"]


def test_the_verb_writes_the_file_and_prints_the_table(exp, tmp_path, capsys):
    out = tmp_path / "RESULTS.md"
    notes = ["--note", "embedded corpus: says nothing", "--note", "and more"]
    assert main(["report", str(exp), "--out", str(out), *notes]) == 0
    text = out.read_text()
    assert text.startswith("# RESULTS\n\nembedded corpus: says nothing\n\nand more\n\n## Summary\n")
    assert "- numpy: `" in text and "- python: `3" in text and "- CPU: `" in text
    assert f"kdasr report {exp} -o {out}\n" in text
    printed = capsys.readouterr().out.splitlines()
    every = collect.systems(str(exp))
    main_set = compare.main_key(every)[1]
    assert printed[0].split() == ["WER,", main_set, "of", "teacher", *collect.tags(every), "gap", "closed"]
    assert printed[1].split() == ["teacher", "1", "10.00", "5.00", "-"]  # greedy, beam: errors of ten words
    assert len({len(line) for line in printed[:4]}) == 1 and printed[4] == ""
    assert printed[5:] == [headline(every, compare.against_references(every)).sentence]


def test_missing_pieces_show_as_dashes(tmp_path):
    (tmp_path / "exp/bare").mkdir(parents=True)
    (tmp_path / "exp/bare/kdasr.json").write_text("{}")
    (tmp_path / "exp/bare/decode_beam/test").mkdir(parents=True)
    (tmp_path / "exp/bare/decode_beam/test/decode.json").write_text('{"audio_seconds": 0}')
    (row,) = table.main_table(collect.systems(tmp_path / "exp"))[1:]
    assert row == ["bare", "-", "-", "-", "-", "-", "-", "-", "-"]


def test_an_empty_exp_names_the_stages(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "none"):
        assert main(["report", str(path), "--out", str(tmp_path / "R.md")]) == 1
        assert "run the stages teacher, student, decode and score first" in capsys.readouterr().err
    assert not (tmp_path / "R.md").exists()


def test_other_utterances_or_signatures_are_not_compared(exp):
    path = exp / "kd1/decode_greedy/test/score_wer/score.json"
    path.write_text(path.read_text().replace("costs:433", "costs:111"))
    assert rows_against(exp)[1][3:] == ["-", "-", "-", "-", "other utterances or signature", "-"]


def test_one_seed_is_said_to_be_one(exp):
    for name in ("ref2", "kd2"):
        (exp / name / "kdasr.json").unlink()
    row = rows_against(exp)[1]
    assert row[3:] == ["-10.00", "-10.00 to -10.00", "0.0002", "-", "yes (one seed)", "0.65 [0.65, 0.65]"]


def test_there_is_no_share_of_a_gap_that_is_none(exp):
    path = exp / "teacher/decode_greedy/test/score_wer"
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    write_score(path, [5] * 20, 10)  # 50 %: worse than its students
    assert rows_against(exp)[1][-1] == "-"


def test_spread_over_seeds_can_make_a_difference_noise(exp):
    path = exp / "kd2/decode_greedy/test/score_wer"
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    write_score(path, [3] * 12 + [2] * 8, 10)  # as the references' second seed
    row = rows_against(exp)[1]
    assert row[3:5] == ["-5.00", "-5.00 to -5.00"]
    assert row[-2] == "no"
    assert row[-1].startswith("0.32 [-")  # 5 of the 25.5 - 10 points, give or take the seeds'


def test_figures_come_from_what_kdasr_score_writes(tmp_path):
    model = write_model(tmp_path / "exp", "m", REFERENCES, 1000)
    generator = random.Random(5)
    names = [f"u{k:02d}" for k in range(40)]
    texts = {name: [generator.choice("abcdefgh") for _ in range(10)] for name in names}
    hyps = {name: [w for w in words if generator.random() > 0.2] for name, words in texts.items()}
    for file, lines in (("ref", texts), ("hyp", hyps), ("utt2spk", {name: [name[:2]] for name in names})):
        (tmp_path / file).write_text("".join(f"{key} {' '.join(value)}\n" for key, value in lines.items()))
    out = model / "decode_beam/test/score_wer"
    result = score(tmp_path / "ref", tmp_path / "hyp", tmp_path / "utt2spk", out, Rules())
    (system,) = collect.systems(tmp_path / "exp")
    utterances = system.scored["beam", "test"].utterances
    assert utterances == {name: (10 - len(hyps[name]), 10) for name in names}
    row = table.espnet_table(system, "wer")[1]
    average = next(line for line in (out / "result.txt").read_text().splitlines() if "Sum/Avg" in line)
    assert row == ["decode_beam/test", *average.replace("|", " ").split()[1:]]
    assert table.main_table([system])[1][5].startswith(f"{result['wer']:.2f} [")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0.0, "0 s"), (59.6, "60 s"), (119.9, "120 s"), (120, "2 min"), (149, "2 min"), (151, "3 min"),
        (7199, "120 min"), (7200, "2.0 h"), (9000.0, "2.5 h"), (360000, "100.0 h"),
    ],
)  # fmt: skip
def test_durations_are_told_in_seconds_minutes_or_hours(seconds, text):
    assert table.duration(seconds) == text


def test_espnets_table_has_the_figures_of_sclites_sum_line():
    """Percentages round as sclite's do, halves away from zero: 1 of 16 is 6.3, 5 of 16 is 31.3."""
    counts = {"sentences": 8, "wrong_sentences": 3, "words": 16, "cor": 13, "sub": 2, "del": 1, "ins": 4, "errors": 7}
    words = {"wer": {"counts": counts}, "cer": {"counts": counts | {"words": 20, "cor": 17}}}
    keys = ("beam", "b"), ("greedy", "a"), ("beam", "a")
    scored = {key: collect.Scored(*key, {}, words["wer"], words["cer"], {}) for key in keys}
    scored["other", "a"] = collect.Scored("other", "a", {}, {}, {}, {})
    system = collect.System("m", {}, None, scored)
    head, *rows = table.espnet_table(system, "wer")
    assert head == ["dataset", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err"]
    figures = ["8", "16", "81.3", "12.5", "6.3", "25.0", "43.8", "37.5"]
    assert rows == [[f"decode_{name}", *figures] for name in ("beam/a", "beam/b", "greedy/a")]
    assert table.espnet_table(system, "cer")[1][2:] == ["20", "85.0", "10.0", "5.0", "20.0", "35.0", "37.5"]


def test_columns_of_figures_are_set_to_the_right():
    rows = [["a", "b", "c", "d", "e"], ["1", "-", "+1", "1.0 ± 2", "x"], ["2", "3", "-1", "no", "4"]]
    assert [table.figures_in(rows, column) for column in range(5)] == [True, True, True, False, False]
    assert not table.figures_in(rows[:1], 0)
    assert table.markdown(rows).splitlines()[1] == "|---|---:|---:|---|---|"
    assert table.plain([["system", "x"], ["a", "10"], ["long name", "9"]]).splitlines() == [
        "system      x",
        "a          10",
        "long name   9",
    ]


def test_each_set_and_search_has_its_own_columns():
    """Error rates, intervals and speeds that are all unlike."""
    scored = {}
    for number, key in enumerate([("beam", "b"), ("greedy", "b"), ("beam", "a"), ("greedy", "a")], 1):
        rates = {kind: {kind: 10.0 * number + more} for kind, more in (("wer", 1), ("cer", 2))}
        rates["wer"]["interval95"] = [number, 90.0 + number]
        decode = {"cpu_seconds": 5.0 * number, "audio_seconds": 100.0}
        scored[key] = collect.Scored(*key, decode, rates["wer"], rates["cer"], {})
    info = {"parameters": 1234567, "seed": 3, "train_seconds": 90}
    head, row = table.main_table([collect.System("m", info, 2_500_000, scored)])
    wanted = {
        "system": "m", "seed": "3", "parameters": "1,234,567", "of teacher": "-", "MB": "2.5",
        "a greedy WER": "41.00 [4.00, 94.00]", "a greedy CER": "42.00",
        "a beam WER": "31.00 [3.00, 93.00]", "a beam CER": "32.00",
        "b greedy WER": "21.00 [2.00, 92.00]", "b greedy CER": "22.00",
        "b beam WER": "11.00 [1.00, 91.00]", "b beam CER": "12.00",
        "RTF greedy": "0.150", "RTF beam": "0.100", "training": "90 s",
    }  # fmt: skip
    assert (head, row) == (list(wanted), list(wanted.values()))


def test_a_recipes_command_stands_instead_of_those_that_were_recorded(exp, tmp_path):
    recorded = ["kdasr score --type wer", "kdasr score --type cer"]
    for words, wanted in (
        ([], recorded),
        (["--command", "./run.sh", "--command", "./more.sh"], ["./run.sh", "./more.sh"]),
    ):
        assert main(["report", str(exp), "-o", str(tmp_path / "R.md"), *words]) == 0
        text = (tmp_path / "R.md").read_text().partition("## Commands\n\n```\n")[2]
        assert text.splitlines()[:-1] == [*wanted, f"kdasr report {exp} -o {tmp_path / 'R.md'}"]


def test_commands_are_those_of_models_decodings_and_scores_each_once():
    def system(*commands):
        of_model, decode, wer, cer = ({"command": one} if one else {} for one in commands)
        return collect.System("m", of_model, None, {("t", "s"): collect.Scored("t", "s", decode, wer, cer, {})})

    every = [system("a", "c", "d", None), system("b", "c", "e", "d"), system(None, None, "", "f")]
    assert provenance.recorded_commands(every) == ["a", "b", "c", "d", "e", "f"]
