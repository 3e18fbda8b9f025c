"""egs/*/run.sh, frames.sh and utils/grid.sh: what they hand on to the scripts that do the work."""

import os
import re
import shlex
import shutil
import subprocess

import pytest
from stand_in import UTILS

EGS = UTILS.parent / "egs"
SHOW = '#!/usr/bin/env bash\nprintf "%s\\x1f" "$(basename "$0")" "$@" >>handed.txt; echo >>handed.txt\n'
WRAPPERS = [("wsj", "run.sh"), ("wsj", "frames.sh"), ("an4", "run.sh"), ("ptb", "run.sh"), ("librispeech", "run.sh")]


@pytest.fixture
def call(tmp_path):
    """Call a script of a recipe beside stand-ins of kd.sh, lm.sh and frames.sh: the options that it hands on."""
    for name in ("kd.sh", "lm.sh", "frames.sh", "run.py"):
        path = tmp_path / "utils" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SHOW if name != "run.py" else "#!/bin/sh\n")
        path.chmod(0o755)
    (tmp_path / "utils/parse_options.sh").symlink_to(UTILS / "parse_options.sh")
    for name in ("wsj", "an4", "ptb", "librispeech", "own", "multi30k"):
        (tmp_path / "egs" / name).mkdir(parents=True)
        for file in (EGS / name).glob("*.sh"):
            shutil.copy(file, tmp_path / "egs" / name)
        shutil.copytree(EGS / name / "conf", tmp_path / "egs" / name / "conf")

    def run(recipe, script, *words, status=0):
        place = tmp_path / "egs" / recipe
        (place / "handed.txt").unlink(missing_ok=True)
        done = subprocess.run(
            [place / script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=600,
            env={name: value for name, value in os.environ.items() if name != "PARSE_OPTIONS_KNOWN"},
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        if status:
            return done.stderr
        (line,) = (place / "handed.txt").read_text().splitlines()
        rest = line.split("\x1f")[1:-1]
        assert len(rest) % 2 == 0
        handed = dict(zip(rest[::2], rest[1::2], strict=True))  # of an option that is given twice, the last counts
        file = handed.pop("--config", None)  # what it sets counts least
        return (settings_of(place / file) if file else {}) | handed

    run.place = tmp_path / "egs"
    return run


def settings_of(path):
    """What a file of settings sets, as options."""
    lines = shlex.split(path.read_text(), comments=True)
    return {f"--{name}": value for name, _, value in (line.partition("=") for line in lines)}


def section(path):
    """The options of a script's configuration section, with what is set there."""
    text = path.read_text().split("# Begin configuration section.")[1].split("# End configuration section.")[0]
    return re.findall(r"^(\w+)=(.*?)(?:\s+#.*)?$", text, re.MULTILINE)


# options of a recipe's own, and where they go
OWN = {
    ("wsj", "run.sh"): {"wsj0": "--data_opts", "wsj1": "--data_opts", "hours": "--data_opts"},
    ("an4", "run.sh"): {"an4": "--data_opts", "dev_speakers": "--data_opts"},
    ("librispeech", "run.sh"): {"librispeech": "--data_opts", "corpus": "--data_opts"},
    ("ptb", "run.sh"): {"data": "--train", "sentences": None, "held_out": None},
}
BESIDE = {"dev_speakers": ["--an4", "x"], "corpus": ["--librispeech", "x"]}


@pytest.mark.parametrize("recipe, script", WRAPPERS)
def test_every_option_is_handed_on(call, recipe, script):
    """Those of the section under their names, with blanks; others as they are; an empty one with its default."""
    (call.place / recipe / "mini").mkdir()
    names = [name for name, _ in section(EGS / recipe / script)]
    assert names
    for name in names:
        where = OWN.get((recipe, script), {}).get(name, f"--{name}")
        if where is None:
            continue  # of a text that is made at once
        value = {"data": "ptb", "corpus": "full"}.get(name, f"the  {name}")
        if name == "data":
            (call.place / "ptb/ptb").mkdir()
            for part in ("train", "valid", "test"):
                (call.place / f"ptb/ptb/ptb.{part}.txt").touch()
        handed = call(recipe, script, f"--{name}", value, *BESIDE.get(name, []), "--nj", "7")
        told = handed[where].replace("\\ ", " ")
        assert value in told, (name, handed)
        assert handed["--nj"] == "7"
        if where == f"--{name}":
            assert handed[where] == value


def test_what_the_user_gives_wins_over_what_a_recipe_sets(call):
    assert call("an4", "run.sh")["--speed"] == "0.9,1.0,1.1"
    assert call("an4", "run.sh", "--test_sets", "other")["--test_sets"] == "other"
    assert call("ptb", "run.sh", "--expdir", "exp2")["--expdir"] == "exp2"
    for recipe in ("wsj", "an4", "own", "multi30k"):  # of students of other networks they set it, too
        handed = call(recipe, "run.sh", "--fine_tune_configs", "y", "--student_configs", "x")
        assert handed["--fine_tune_configs"] == "y", recipe


def test_the_defaults_of_each_corpus(call):
    """egs/wsj: those of the synthetic demo corpus, or of the discs."""
    mini = call("wsj", "run.sh")
    assert mini["--data_opts"] == "--corpus mini --hours 2" and "say nothing about WSJ" in mini["--corpus_note"]
    assert [mini[f"--{name}"] for name in ("transcribed", "ctc_weight", "students", "fine_tune_configs")] == [
        "0.6", "0.1", "refs pseudo_soft oracle", "conf/mini_fine_tune.yaml",
    ]  # fmt: skip
    assert [mini[f"--lm_{name}"] for name in ("stored", "text_opts")] == ["all", "--apart --upper --sentences 3000"]
    assert not {"--lm_vocab", "--lm_min_count", "--lm_teacher_seeds"} & set(mini)
    assert mini["--teacher_config"] == "conf/mini_teacher.yaml"
    wsj = call("wsj", "run.sh", "--wsj0", "a b", "--wsj1", "c")
    assert wsj["--data_opts"] == r"--corpus wsj --wsj0 a\ b --wsj1 c " and "--corpus_note" not in wsj
    assert wsj["--students"] == "refs nbest word_ctc"
    assert not {"--transcribed", "--ctc_weight", "--fine_tune_configs", "--lm_stored"} & set(wsj)  # as kd.sh has them
    assert [wsj[f"--lm_{name}"] for name in ("vocab", "min_count", "teacher_seeds", "text_opts")] == [
        "40000", "5", "17 31", "--discs c ",
    ]  # fmt: skip
    assert wsj["--teacher_config"] == "conf/wsj_rnn_teacher.yaml"
    assert wsj["--lm_student_config"] == "conf/wsj_lm_student.yaml" and wsj["--nlsyms"] == "data/nlsyms.txt"
    # later, without the discs, what data/ holds counts
    (call.place / "wsj/data").mkdir()
    (call.place / "wsj/data/corpus").write_text("wsj\n")
    later = call("wsj", "run.sh")
    assert (later.get("--data_opts"), later["--teacher_config"]) == (None, "conf/wsj_rnn_teacher.yaml")
    assert call("wsj", "frames.sh")["--aligner"] == "exp/teacher_wsj_rnn_s1"
    (call.place / "wsj/data/corpus").write_text("mini\n")
    frames = call("wsj", "frames.sh")
    assert frames["--aligner"] == "exp/teacher_mini_s1" and "say nothing about WSJ" in frames["--corpus_note"]


def test_other_networks_are_not_tuned_with_a_recipe_s_own_configuration(call):
    assert call("an4", "run.sh")["--fine_tune_configs"] == "conf/fine_tune.yaml"
    assert call("an4", "run.sh", "--student_configs", "x")["--fine_tune_configs"] == ""
    for recipe in ("wsj", "own"):
        assert call(recipe, "run.sh", "--student_configs", "x")["--fine_tune_configs"] == ""
    assert call("own", "run.sh")["--fine_tune_configs"] == "conf/fine_tune.yaml"
    assert call("wsj", "run.sh", "--student_configs", "x", "--fine_tune_configs", "y")["--fine_tune_configs"] == "y"


def test_one_directory_of_a_corpus_has_one_name(call):
    (call.place / "corpus").mkdir()
    for name in ("../corpus", "../corpus/", str(call.place / "corpus")):
        assert call("an4", "run.sh", "--an4", name)["--data_opts"] == f"--an4 {call.place}/corpus --dev_speakers 8 "
    assert "--data_opts" not in call("an4", "run.sh")


def test_the_two_forms_of_librispeech(call):
    mini, full = (call("librispeech", "run.sh", *words) for words in ([], ["--corpus", "full", "--librispeech", "x y"]))
    assert (mini["--train_set"], mini["--valid_set"], mini["--students"]) == ("train_5", "dev_5", "refs nbest word_ctc")
    assert mini["--test_sets"] == "dev_clean_2" and not {"--data_opts", "--expdir", "--transcribed"} & set(mini)
    assert [full[f"--{name}"] for name in ("train_set", "expdir", "transcribed")] == ["train_960", "exp_full", "0.1"]
    assert full["--data_opts"] == r"--librispeech x\ y --corpus full "


def test_translation_of_a_grammar_or_of_a_corpus(call, tmp_path):
    made = call("multi30k", "run.sh", "--pairs", "70", "--nj", "3")
    assert [made[f"--{name}"] for name in ("task", "data_opts", "datadir", "dumpdir", "expdir", "nj")] == [
        "translation", "--pairs 70", "data/pairs", "dump/pairs", "exp/pairs", "3",
    ]  # fmt: skip
    assert made["--teacher_config"] == "conf/pairs_teacher.yaml" and "say nothing" in made["--corpus_note"].replace(
        "says", "say"
    )
    corpus = tmp_path / "a corpus"
    corpus.mkdir()
    made = call("multi30k", "run.sh", "--data", str(corpus), "--src", "de", "--tgt", "fr")
    assert made["--data_opts"].replace("\\ ", " ") == f"--data {corpus} --src de --tgt fr "
    assert made["--expdir"] == "exp/a_corpus_de-fr" and made["--student_configs"] == "conf/student.yaml"
    assert made["--fine_tune_configs"] == "conf/fine_tune.yaml"
    made = call("multi30k", "run.sh", "--data", str(corpus), "--student_configs", "conf/pairs_student.yaml")
    assert made["--fine_tune_configs"] == ""
    assert "no such directory" in call("multi30k", "run.sh", "--data", "absent", status=1)


def test_the_text_of_language_models(call):
    made = call("ptb", "run.sh")
    assert [made[f"--{name}"] for name in ("train", "valid", "tests", "teacher_seeds", "stored", "teacher_config")] == [
        "data/text/train.txt", "data/text/valid.txt", "data/text/test.txt", "1 2 3 4", "all", "conf/small_teacher.yaml",
    ]  # fmt: skip
    assert "say nothing about Penn Treebank" in made["--note"]
    assert "x/ptb.train.txt: no such file" in call("ptb", "run.sh", "--data", "x", status=1)


@pytest.mark.parametrize(
    "words, rows",
    [
        ([], None),
        (["--main", "refs  word", "--others", "mix", "--seeds", "4 5", "--nj", "3"], ("refs  word", "mix", "4 5")),
        (["--main", "refs", "--others", ""], ("refs", "", "1 2 3")),
    ],
)
def test_the_grid_of_all_student_recipes(tmp_path, words, rows):
    """Teachers and hypotheses of all rows first; main rows of all seeds, others of the first; a table of the main."""
    (tmp_path / "run.sh").write_text(SHOW)
    (tmp_path / "run.sh").chmod(0o755)
    subprocess.run([UTILS / "grid.sh", *words], cwd=tmp_path, check=True, timeout=600)
    set_there = dict(section(UTILS / "grid.sh"))
    main, others, seeds = rows or (set_there[name].strip('"') for name in ("main", "others", "seeds"))
    calls = [line.split("\x1f")[1:-1] for line in (tmp_path / "handed.txt").read_text().splitlines()]
    begin = ["--ppl", "true", "--figures", "exp/figures.jsonl", *(["--nj", "3"] if "--nj" in words else [])]
    expected = [
        [*begin, "--students", f"{main} {others}", "--stop_stage", "4"],
        [*begin, "--students", main, "--seeds", seeds, "--stage", "5", "--stop_stage", "7"],
        [*begin, "--students", others, "--seeds", seeds.split()[0], "--stage", "5", "--stop_stage", "7"],
        [*begin, "--students", main, "--seeds", seeds, "--stage", "10"],
    ]
    if not others:
        del expected[2]
    assert calls == expected
    names = f"{main} {others}".split()
    assert len(set(names)) == len(names) and all((UTILS / f"students/{name}.yaml").exists() for name in names)


def test_the_grid_stops_where_a_run_fails(tmp_path):
    (tmp_path / "run.sh").write_text(SHOW + "exit 3\n")
    (tmp_path / "run.sh").chmod(0o755)
    done = subprocess.run([UTILS / "grid.sh"], cwd=tmp_path, capture_output=True, timeout=600)
    assert done.returncode == 3 and len((tmp_path / "handed.txt").read_text().splitlines()) == 1
    (tmp_path / "run.sh").unlink()
    done = subprocess.run([UTILS / "grid.sh"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1 and "holds no run.sh; call it in a recipe's directory" in done.stderr


SCRIPTS = [*sorted(UTILS.glob("*.sh")), *sorted(EGS.glob("*/*.sh")), *sorted(EGS.glob("*/local/*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(UTILS.parent)))
def test_no_option_is_explained_by_what_it_is_when_it_is_empty(script):
    """What happens without it is said in words."""
    options = [line for line in script.read_text().splitlines() if re.match(r"[a-z][a-z_]*=.*  # ", line)]
    assert not [line for line in options if "empty" in line]
