"""Stamps (.done): no option and no input of a recipe may change without a step that runs again, or refuses in words.

Each script of a recipe has run here once, with a stand-in for `kdasr` and a value of its own for every option. Then:
what its calls were told is in the stamps of what they wrote; and each option of its configuration section, which is
read here so that a new one cannot be forgotten, is changed, and so is each input.
"""

import re
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pytest
from finished import LESS, MINE, student_recipe
from stand_in import UTILS

from kdasr.recipe.student import StudentRecipe

ROOT = UTILS.parent
OTHER = "made with other settings or inputs ("


class Refuses(NamedTuple):
    """With this value each of these stages says that what is there was made with another one (and what it says)."""

    value: str
    stages: str
    said: str = ""


class Anew(NamedTuple):
    """With this value (and one of another option) a stage makes something beside what is there."""

    value: str
    stage: str
    more: tuple[str, str] = ("stage", "1")


class Same(NamedTuple):
    """With this value nothing runs, for a reason."""

    value: str
    why: str


class Apart(NamedTuple):
    """Not an option that a finished run could meet with another value."""

    why: str


WHICH = Apart("which stages run")
SPEED = "how fast it runs, not what comes out"
TABLE = "a table is made again with it"
TEXT = Apart("of translators, in tests/recipe/test_translation.py")
HERE = "a place: what is done elsewhere is not looked at"

KD = {
    "stage": WHICH,
    "stop_stage": WHICH,
    "nj": Same("3", SPEED),
    "ngpu": Same("2", SPEED),
    "num_nodes": Same("2", SPEED),
    "seed": Anew("41", "3"),
    "seeds": Anew("41", "5"),
    "dry_run": Apart("whether anything runs, in tests/recipe"),
    "submit": Apart("who runs the stages, in tests/utils/test_submit.py"),
    "early_students": Same("true", SPEED),
    "task": TEXT,
    "train_set": Anew("more", "2"),
    "valid_set": Refuses("test", "3 5 8", "dump/fbank/test is new|dump/fbank/dev/text is gone"),
    "test_sets": Anew("dev", "6"),
    "data_opts": Refuses("--hours 0.75", "1"),
    "unlabelled_set": Anew("more", "2", ("transcribed", "1.0")),
    "transcribed": Anew("0.75", "2"),
    "split_seed": Refuses("134", "2"),
    "feats_type": Anew("spectrogram", "2"),
    "speed": Refuses("1.0,1.1", "2"),
    "min_duration": Refuses("0.06", "2"),
    "audio_opts": Refuses("--channel 164", "2 3 4 5 6 9"),
    "cmvn": Refuses("global", "2", "now 'global'"),
    "token_type": Anew("unigram", "3"),
    "vocab": Anew("302", "3"),
    "src_vocab": TEXT,
    "joint_tokens": TEXT,
    "nlsyms": Refuses("conf/more_nlsyms.txt", "3 7 9"),
    "teacher_config": Anew("conf/more_teacher.yaml", "3"),
    "teacher_dir": Anew("model", "3", ("students", "nbest")),
    "teacher_opts": Apart("what a finished teacher is adopted with, in tests/recipe/test_stage_steps.py"),
    "student_configs": Anew("conf/more_student.yaml", "5"),
    "teacher_fine_tune_config": TEXT,
    "fine_tune_configs": Refuses("conf/more_student.yaml", "5"),
    "students": Anew("nbest", "4"),
    "folds": Anew("3", "2"),
    "train_opts": Refuses("--max_epoch 142", "3 5"),
    "target_opts": Refuses("--max_wer 143", "5"),
    "gpu_inference": Same("true", SPEED),
    "nbest": Refuses("162", "4"),
    "beam": Refuses("172", "4 6"),
    "ctc_weight": Refuses("0.38", "4 6 9"),
    "nbest_opts": Refuses("--nbest_x 144", "4 9"),
    "decode_tags": Anew("beam7", "6"),
    "decode_opts": Refuses("--decode_x 145", "6"),
    "score_opts": Refuses("--score_x 146", "7 9"),
    "ppl": Same("false", "perplexities that are there stay; those that are not: test_the_table_shows_what_is_new"),
    "decode_nj": Same("2", SPEED),
    "lm": Same("false", "which stages run"),
    "lm_text_opts": Refuses("--sentences 147", "8"),
    "lm_vocab": Refuses("148", "8"),
    "lm_min_count": Refuses("149", "8"),
    "lm_teacher_config": Refuses("conf/more_lm.yaml", "8"),
    "lm_student_config": Refuses("conf/less_lm.yaml", "8"),
    "lm_teacher_seeds": Anew("151 152 150", "8"),
    "lm_seeds": Anew("154", "8"),
    "lm_objectives": Anew("kl", "8"),
    "lm_ce_opts": Refuses("drop_input=0.49", "8"),
    "lm_opts": Refuses("epochs=150", "8"),
    "lm_stored": Anew("151", "8"),
    "rescore": Anew("refs", "9"),
    "rescore_beam": Refuses("156", "9"),
    "rescore_opts": Refuses("--grid lm=0:2:0.57", "9"),
    "lm_results": Apart(TABLE),
    "exports": Anew("refs", "11"),
    "export_opts": Anew("--int8 --licence 57", "11"),
    "datadir": Refuses("data2", "2"),
    "dumpdir": Anew("dump2", "2"),
    "expdir": Anew("exp2", "3"),
    "results": Anew("RESULTS2.md", "10"),
    "figures": Anew("more.jsonl", "10"),
    "tag": Anew("x", "3"),
    "note": Anew("another note", "10"),
    "corpus_note": Anew("another corpus", "10"),
}
LM = {
    "stage": WHICH,
    "stop_stage": WHICH,
    "nj": Same("3", SPEED),
    "ngpu": Same("1", SPEED),
    "dry_run": Apart("whether anything runs, in tests/recipe"),
    "submit": Apart("who runs the stages, in tests/utils/test_submit.py"),
    "train": Refuses("data/more_train.txt", "1 2 3"),
    "valid": Refuses("data/more_valid.txt", "2 3 4"),
    "tests": Refuses("data/more_test.txt", "4"),
    "vocab": Refuses("202", "1"),
    "min_count": Refuses("204", "1"),
    "teacher_config": Refuses("conf/more_lm.yaml", "2"),
    "student_config": Refuses("conf/less_lm.yaml", "3"),
    "finetune": Refuses("rate=206", "2 3"),
    "teacher_seeds": Anew("11 12 13", "2"),
    "seeds": Anew("15", "3"),
    "objectives": Anew("kl", "3"),
    "ce_opts": Refuses("drop_input=0.49", "3"),
    "lm_opts": Refuses("epochs=208", "2 3"),
    "stored": Anew("210", "3"),
    "draws": Anew("false", "3"),
    "dynamic": Refuses("false", "4", "dynamic was 'true', now 'false'"),
    "dumpdir": Anew("dump2", "1"),
    "expdir": Anew("exp2", "2"),
    "results": Apart(TABLE),
    "note": Apart(TABLE),
}
FRAMES = {
    "stage": WHICH,
    "stop_stage": WHICH,
    "nj": Same("3", SPEED),
    "dry_run": Apart("whether anything runs, in tests/recipe"),
    "submit": Apart("who runs the stages, in tests/utils/test_submit.py"),
    "train_set": Anew("more", "1"),
    "valid_set": Refuses("test", "2 4 5", "dump/frames/test is new"),
    "test_sets": Anew("more", "1"),
    "aligner": Refuses("exp/teacher_s2", "1"),
    "bins": Refuses("302", "1"),
    "speed": Refuses("1.0,1.1", "1"),
    "frames_opts": Refuses("--reach 304", "1"),
    "frames_config": Refuses("conf/more_frames.yaml", "2 4 5"),
    "baseline_seeds": Anew("21 22 23", "2"),
    "temperatures": Anew("72 75", "4"),
    "main": Refuses("74", "5", "temperature=74"),
    "distil_opts": Refuses("epochs=306", "4"),
    "seeds": Anew("25", "4"),
    "share": Refuses("0.04", "5"),
    "few_opts": Refuses("epochs=308", "5"),
    "groups": Refuses("310", "6"),
    "specialist_opts": Refuses("--epochs 312", "6"),
    "model_opts": Refuses("drop=0.314", "2 4 5"),
    "score_opts": Refuses("--score_x 316", "7"),
    "nlsyms": Refuses("conf/more_nlsyms.txt", "7"),
    "datadir": Refuses("data2", "1"),
    "dumpdir": Anew("dump2", "1"),
    "expdir": Anew("exp2", "2"),
    "results": Apart(TABLE),
    "note": Apart(TABLE),
    "corpus_note": Apart(TABLE),
}
IMAGES = {
    "stage": WHICH,
    "stop_stage": WHICH,
    "nj": Same("3", SPEED),
    "dry_run": Apart("whether anything runs, in tests/recipe"),
    "submit": Apart("who runs the stages, in tests/utils/test_submit.py"),
    "mnist": Refuses("data/more", "1"),
    "held_out": Refuses("402", "1"),
    "seeds": Anew("33", "2"),
    "sweep_seeds": Anew("33", "2"),
    "widths": Anew("45 8", "3"),
    "temperatures": Anew("72 73", "3"),
    "omitted": Anew("4", "4"),
    "kept": Anew("6 7", "4"),
    "groups": Refuses("404", "5"),
    "teacher_config": Refuses("conf/student.yaml", "2"),
    "student_config": Refuses("conf/teacher.yaml", "3 4"),
    "teacher_opts": Refuses("epochs=406", "2"),
    "student_opts": Refuses("epochs=408", "3 4"),
    "kept_opts": Refuses("epochs=410", "4"),
    "specialist_opts": Refuses("--batch 412", "5"),
    "datadir": Anew("data/elsewhere", "1"),
    "expdir": Anew("exp/elsewhere", "2"),
    "results": Apart(TABLE),
    "note": Apart(TABLE),
}
# What a call is told beside settings and inputs: of (command or "*", option).
UNSTAMPED = {
    ("*", "--job"): SPEED,
    ("*", "--nj"): SPEED,
    ("*", "--ngpu"): SPEED,
    ("*", "--merge"): "the end of the same step",
    ("*", "--out"): HERE,
    ("export", "--zip"): "always",
    ("export", "--example"): "what the last line names; the bundle is the same",
    ("*", "--label"): "what the table calls it",
    ("*", "--role"): "what the table calls it",
    ("*", "--recipe"): "of what kind the table takes it to be; the model is the same",
    ("train", "--learned_from"): "the same, of what its inputs are",
    ("train", "--network"): "the same, of its configuration",
    ("train", "--baseline"): "the same",
    ("train", "--oracle"): "the same",
    ("frames_train", "--baseline"): "the same",
    ("train", "--teacher"): "what the table calls it",
    ("local/data.sh", "--datadir"): HERE,
    ("data_holdout", "--labelled"): HERE,
    ("data_holdout", "--unlabelled"): HERE,
    ("tokens", "--check"): "warns only",
    ("soft", "--targets"): "the step itself",
    ("soft", "--data"): "all training audio, which the transcribed part, an input, was cut out of",
    ("score", "--dir"): HERE,
    ("score", "--type"): "the directory is called after it",
    ("score", "--ref"): "what was decoded, whose stamp is of the set's",
    ("score", "--utt2spk"): "what was decoded, whose stamp is of the set's",
    ("soft", "--ctc"): "stamped as settings",
    ("lm_soft", "--draws"): "stamped as draws=true",
    ("lm_ppl", "--dynamic"): "stamped as dynamic=true; the training text is an input of the model",
    ("frames_decode", "--tune"): "what was predicted, whose stamp is of the set's",
    ("frames_decode", "--data"): "what was predicted, whose stamp is of the set's",
    ("images_train", "--data"): "the file that the data's directory, an input, was finished with",
    ("images_specialists", "--seed"): "the directory is called after it",
    ("images_specialists", "--data"): "the file that the data's directory, an input, was finished with",
}
STEP = {  # whose stamp a call's is, where it is not that of --out
    "soft": "--targets", "score": "--dir", "data_holdout": "--labelled", "local/data.sh": "--datadir",
}  # fmt: skip
NESTED = ("data", "lm", "frames", "images")  # commands of two words


SCRIPTS = {"kd": KD, "lm": LM, "frames": FRAMES, "images": IMAGES}
FILES = {name: UTILS / f"{name}.sh" for name in ("kd", "lm", "frames")} | {"images": ROOT / "egs/mnist/local/images.sh"}
SETTINGS = [(name, option) for name, options in SCRIPTS.items() for option in options]


@pytest.fixture
def ran(request):
    """The run that a test's first parameter names."""
    return request.getfixturevalue(f"{request.node.callspec.params['name']}_run")


def section(path):
    """The options of a script's configuration section."""
    text = path.read_text().split("# Begin configuration section.")[1].split("# End configuration section.")[0]
    return re.findall(r"^(\w+)=", text, re.M)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_option_is_in_the_list_above(name):
    assert section(FILES[name]) == list(SCRIPTS[name])


def stamp_of(path):
    """A step's settings, as (key, value), and its inputs."""
    lines = [line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#")]
    inputs = {key for key, _, value in lines if re.fullmatch("[0-9a-f]{16}", value)}
    return [(key, value) for key, _, value in lines if key not in inputs], inputs


def told(call):
    """(option or "", word) of a call: the words that it has to be told by, a flag as its own word."""
    option, found = "", []
    for word, after in zip(call, [*call[1:], "--"], strict=True):
        if word == "--":  # ESPnet's own options follow
            continue
        if word.startswith("--"):
            option = word
            if after.startswith("--"):
                found.append((option, word))
        else:
            found.append((option, word))
    return found


def under(path, top):
    return f"{path}/".startswith(f"{top}/")


def command_of(call):
    return ("_".join(call[:2]), call[2:]) if call[0] in NESTED else (call[0], call[1:])


def step_of(place, command, words):
    """The directory whose stamp is of this call."""
    out = words[words.index(STEP.get(command, "--out")) + 1]
    if command == "images_data":
        out = str(Path(out).parent)
    if command == "ppl":
        out = out.removesuffix(".json")
    # frames.sh: a set is one step of four calls
    return re.sub("/(aligner|fbank|alignment)/", "/", out) if not (place / out / ".done").exists() else out


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_a_call_is_told_is_in_the_stamp_of_what_it_writes(name, ran):
    """Each word of each call: it is an input, or a setting, of the step, or there is a reason above why not."""
    steps, missing = set(), []
    for call in ran.calls:
        command, words = command_of(call)
        if command.endswith("report"):
            continue  # their own test
        step = step_of(ran.place, command, words)
        steps.add(step)
        settings, inputs = stamp_of(ran.place / step / ".done")
        values = {word for _, value in settings for word in (value, *value.split())}
        for option, word in told(words):
            reason = [key for key in ((command, option), ("*", option)) if key in UNSTAMPED]
            parts = [part for part in re.split("[+=]", word) if (ran.place / part).exists() and part]
            # below an input, or a directory of inputs, whose files are changed one by one in a test below
            inside = [p for p in parts if any(under(p, top) or under(top, p) for top in inputs)]
            # its own, unless it is a step before
            inside += [p for p in parts if under(p, step) and not (ran.place / p / ".done").exists()]
            # what another call of the same step has written
            inside += [p for p in parts if step_of(ran.place, "", ["--out", p]) == step]
            if not reason and word not in values and not (parts and set(parts) <= set(inside)):
                missing.append((step, command, option, word))
    assert missing == []
    done = {str(path.parent.relative_to(ran.place)) for path in ran.place.rglob(".done")}
    assert len(steps) > 8 and done - steps <= PARTS


PARTS = {  # of a step with several directories; made by no call of these
    "exp",
    "data2",
    "exp/teacher_s1",
    "exp/teacher_s2",
    "dump/fbank/train_sp_unlab0.5",
    *(f"dump/fbank/train_sp_lab0.5_folds2/{part}{n}" for part in ("fold", "rest") for n in (1, 2)),
}


def refusing(name):
    """Its options for which stages refuse, by stage."""
    stages = {}
    for option, change in SCRIPTS[name].items():
        if isinstance(change, Refuses):
            for stage in change.stages.split():
                stages.setdefault(stage, {})[option] = change
    return stages


@pytest.mark.parametrize("name, stage", [(name, stage) for name in SCRIPTS for stage in sorted(refusing(name))])
def test_a_changed_option_is_refused_where_it_counts(name, stage, ran):
    """All options of a stage are changed; its first step refuses and names its own; then those that are left."""
    left = refusing(name)[stage]
    while left:
        status, output, calls = ran.only(stage, {option: change.value for option, change in left.items()})
        assert (status, calls) == (1, []), (list(left), output)
        said = " ".join(part.split("): rm -r ")[0] for part in output.split(OTHER)[1:])
        named = [option for option, change in left.items() if re.search(change.said or change.value, said)]
        assert named, (list(left), output)
        left = {option: change for option, change in left.items() if option not in named}


@pytest.mark.parametrize(
    "name, option", [(n, o) for n, o in SETTINGS if isinstance(SCRIPTS[n][o], Anew)], ids=lambda word: word
)
def test_another_option_makes_something_beside_what_is_there(name, option, ran):
    value, stage, more = SCRIPTS[name][option]
    done = {str(path.parent.relative_to(ran.place)) for path in ran.place.rglob(".done")}
    # the first call fails: that it was made is enough
    status, output, calls = ran.only(stage, [more, (option, value)], FAIL="*")
    assert status == 1 and calls and OTHER not in output, output
    for call in calls:
        command, words = command_of(call)
        assert command in ("report", "export") or step_of(ran.place, command, words) not in done, call


# Files that steps read, of a stage each, and those that no stage of these has made. A stage that reads one names it.
INPUTS = {
    "kd": {
        "2": "data/train/wav.scp data/test/text data/dev/utt2spk data/dev/segments dump/fbank/train_sp/.done "
        "dump/fbank/train_sp_lab0.5/.done",
        "3": "conf/teacher.yaml conf/nlsyms.txt dump/tokens/bpe301/.done dump/fbank/dev/.done",
        "4": "exp/teacher_s31/.done exp/teacher_s32/.done dump/fbank/train_sp_unlab0.5/.done",
        "5": "conf/student.yaml exp/teacher_s32/.done exp/student_refs_s132/.done exp/student_mine_s132/pruned/.done "
        "exp/student_less_s132/shrunk/.done",
        "6": "exp/student_mine_s132/.done dump/fbank/test/.done",
        "7": "exp/student_mine_s132/decode_beam/test/.done conf/nlsyms.txt",
        "8": "conf/lm_teacher.yaml conf/lm_student.yaml dump/lm/text/train.txt dump/lm/text/valid.txt "
        "dump/lm/text/test.txt dump/fbank/test/text exp/lm/teacher_s151/.done dump/lm/soft_150/.done "
        "dump/lm/words/.done",
        "9": "exp/lm/student_trust_s153/.done dump/fbank/dev/.done conf/nlsyms.txt exp/teacher_s31/.done "
        "exp/lm/first_pass/nbest_teacher/test/.done exp/lm/ensemble/rescore_teacher/dev/.done",
    },
    "lm": {
        "1": "data/train.txt",
        "2": "conf/lm_teacher.yaml data/valid.txt dump/lm/words/.done exp/lm/teacher_s11/.done",
        "3": "conf/lm_student.yaml exp/lm/teacher_s12_ft/.done dump/lm/soft_209_draws/.done "
        "exp/lm/student_ce_s14/.done",
        "4": "data/test.txt exp/lm/student_trust_s14_ft/.done",
    },
    "frames": {
        "1": "data/train/wav.scp data/dev/text data/train/segments exp/aligner/config.yaml dump/frames/train/.done",
        "2": "conf/frames.yaml dump/frames/train/.done dump/frames/dev/.done",
        "3": "exp/frames/baseline_s22/.done dump/frames/train/.done",
        "4": "exp/frames/ensemble/predict_train/.done conf/frames.yaml",
        "5": "exp/frames/ensemble/predict_train/.done dump/frames/dev/.done",
        "6": "exp/frames/baseline_s21/.done dump/frames/test/.done",
        "7": "exp/frames/distilled_T72_s24/.done data/test/utt2spk conf/nlsyms.txt "
        "exp/frames/baseline_s21/predict_dev/decode/weights.json",
    },
    "images": {
        "2": "conf/teacher.yaml data/images/.done",
        "3": "exp/images/teacher_s31/.done conf/student.yaml",
        "4": "exp/images/teacher_s31/.done",
        "5": "exp/images/hard_7_s31/.done data/images/.done",
    },
}


@pytest.mark.parametrize("name, stage", [(name, stage) for name in INPUTS for stage in INPUTS[name]])
def test_a_changed_input_is_refused_where_it_is_read(name, stage, ran):
    """As with the options: all of them are changed, the first step names its own, then those that are left."""
    files = INPUTS[name][stage].split()
    before = {file: (ran.place / file).read_text() if (ran.place / file).exists() else None for file in files}
    left = set(files)
    try:
        while left:
            for file in left:
                # an empty stamp is another one, and its step is taken as done
                text = "" if file.endswith(".done") else f"{before[file] or ''}# changed\n"
                (ran.place / file).write_text(text)
            status, output, calls = ran.only(stage)
            named = {file for file in left if re.search(rf"{file.removesuffix('/.done')} (has changed|is new)", output)}
            assert (status, calls) == (1, []) and OTHER in output and named, (left, output)
            left -= named
            restore(ran.place, before)
    finally:
        restore(ran.place, before)


def restore(place, files):
    for file, text in files.items():
        if text is None:
            (place / file).unlink(missing_ok=True)
        else:
            (place / file).write_text(text)


SETTINGS_OF_RECIPES = {  # another value, and what stage 5 says
    "label": ("other", ""),
    "learns_from": ("all_references", "is gone"),
    "baseline": (True, ""),
    "oracle": (True, ""),
    "beam": (172, "_b172n161: missing; run stage 4"),
    "nbest": (162, "_b171n162: missing; run stage 4"),
    "archive": ("of_another", "of_another: holds no finished N-best archive"),  # a finished one: test_plan.py
    "selection": ({"select": "best", "k": 158}, "now '--select best --k 158'"),
    "distillation": ({"word_weight": 0.57, "ctc_word_weight": 0.59}, "now 'word_weight=0.57 ctc_word_weight=0.59'"),
    "kept": (161, "soft was '160 --ctc', now '161 --ctc'"),
    "taught_by": ("refs", "taught_by: one student teaches"),  # of one teacher: the test below
    "teachers": (3, "ensemble3/nbest_train_sp_unlab0.5: missing; run stage 4"),
    "targets_of": ("crossfit", "with targets_of crossfit that recipe sets it"),
    "starts_from": ("crossfit", "exp/student_crossfit_s132 is new"),
    "prune": ({"sparsity": 0.63}, "prune was '--sparsity 0.62', now '--sparsity 0.63'"),
    "shrink": ({"params": 168}, "shrink: prune is there, too"),  # without prune: the test below
    "config": ("teacher", "conf/teacher.yaml is new"),
}


def test_every_setting_of_a_student_recipe_counts(kd_run):
    assert {one.name for one in fields(StudentRecipe)} - {"name", "file"} == set(SETTINGS_OF_RECIPES)
    try:
        for name, (value, said) in SETTINGS_OF_RECIPES.items():
            student_recipe(kd_run.place, {**MINE, name: value})
            status, output, calls = kd_run.only("5")
            assert calls == [] and said in output and status == int(bool(said)), (name, output)
    finally:
        student_recipe(kd_run.place, MINE)


@pytest.mark.parametrize(
    ("shrink", "said"),
    [
        ({"params": 169, "by": "layers"}, "now '--params 169 --by layers'"),
        ({"params": 168}, "shrink was '--params 168 --by layers', now '--params 168'"),
        ({"like": "config"}, "now '--like'"),
        ({}, "exp/student_less_s132/shrunk is gone"),
    ],
)
def test_a_model_that_is_shrunk_otherwise_is_another(kd_run, shrink, said):
    try:
        student_recipe(kd_run.place, {**LESS, "shrink": shrink}, "less")
        status, output, calls = kd_run.only("5")
        assert (status, calls) == (1, []) and OTHER in output and said in output
    finally:
        student_recipe(kd_run.place, LESS, "less")


def test_what_another_teacher_says_is_something_else(kd_run):
    alone = {**MINE, "teachers": 1, "starts_from": "", "prune": {}}
    try:
        student_recipe(kd_run.place, {"label": "again", "learns_from": "references", "config": "teacher"}, "again")
        student_recipe(kd_run.place, {**alone, "taught_by": "again"})
        status, output, calls = kd_run.only("5", FAIL="train*")  # the teaching student is trained first
        assert status == 1 and [call[1] for call in calls if call[0] == "kdasr"] in ([], ["train"]), (output, calls)
        assert "exp/student_again_s132: training" in output and "targets_mine" not in output
    finally:
        student_recipe(kd_run.place, MINE)
        (kd_run.place / "conf/students/again.yaml").unlink()


def test_references_of_other_audio_are_other_targets(kd_run):
    """Soft targets along the references of the transcribed audio, and then of all of it."""
    mine = {**MINE, "learns_from": "references", "teachers": 1, "starts_from": "", "prune": {}, "selection": {}}
    targets = kd_run.place / "exp/teacher_s31/targets_mine/.done"
    before = targets.read_text()
    try:
        student_recipe(kd_run.place, mine)
        targets.unlink()
        kd_run.only("5", FAIL="train*")
        assert targets.read_text() != before
        student_recipe(kd_run.place, {**mine, "learns_from": "all_references"})
        status, output, calls = kd_run.only("5")
        assert (status, calls) == (1, []) and "dump/fbank/train_sp is new; dump/fbank/train_sp_lab0.5 is gone" in output
    finally:
        targets.write_text(before)
        student_recipe(kd_run.place, MINE)


def test_the_table_shows_what_is_new(kd_run):
    """Scores, perplexities, and figures that another machine has measured."""
    for file in ("exp/teacher_s31/decode_beam/test/score_cer/.done", "exp/teacher_s31/ppl/test/.done", "figures.jsonl"):
        (kd_run.place / file).write_text("")
        for times in (1, 0):  # what the report itself adds to the figures is shown
            status, output, calls = kd_run.only("10")
            assert (status, len(calls)) == (0, times) and "| the table |" in output, file


def worth(calls):
    """Those that are not of a table, which is quickly made again."""
    return [call for call in calls if not command_of(call)[0].endswith("_report")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_changes_nothing_runs_nothing(name, ran):
    """Nor has a test before this one left anything changed."""
    options = {option: change.value for option, change in SCRIPTS[name].items() if isinstance(change, Same)}
    before = {path: path.read_text() for path in ran.place.rglob(".done")}
    status, output, calls = ran.again(options)
    assert status == 0 and worth(calls) == [], output
    assert {path: path.read_text() for path in ran.place.rglob(".done")} == before
