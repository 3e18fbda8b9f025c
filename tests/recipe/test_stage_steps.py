"""What each stage of each script makes, of what, and by which commands: the tables of tests/recipe/steps.

Every option has a value of its own there. Whoever changes what a step does reads the difference, and writes it there.
"""

import re
import runpy
from pathlib import Path

import pytest
import yaml
from scripts import MODEL, ROOT, kd_options, options_of, stage_table, table, write_model

from kdasr.errors import UserError
from kdasr.recipe import frames, kd, lm_script

STEPS = Path(__file__).parent / "steps"
MINE = {
    "label": "mine", "learns_from": "pseudo_labels", "selection": {"select": "best", "k": 57}, "kept": 60,
    "distillation": {"word_weight": 0.58, "ctc_word_weight": 0.59}, "teachers": 2, "starts_from": "refs",
    "prune": {"sparsity": 0.62, "scheme": "uniform"},
}  # fmt: skip
FURTHER = {
    "label": "further", "learns_from": "references", "starts_from": "teacher", "config": "teacher_fine_tune"
}  # fmt: skip
KD = {
    "seed": "31", "seeds": "32", "data_opts": "--hours 33", "transcribed": "0.5", "split_seed": "34",
    "speed": "0.9,1.0", "min_duration": "0.35", "audio_opts": "--channel 103", "cmvn": "speaker",
    "token_type": "bpe", "vocab": "36",
    "nlsyms": "conf/nlsyms.txt",
    "students": "mine crossfit refs_fine_tune", "train_opts": "--max_epoch 37",
    "target_opts": "--max_wer 38", "nbest": "39",
    "beam": "40", "ctc_weight": "0.41", "nbest_opts": "--x 42", "decode_tags": "greedy beam beam20",
    "decode_opts": "--x 43", "score_opts": "--wsj_filter --x 44", "ppl": "true", "lm": "true", "nj": "3",
    "lm_text_opts": "--sentences 45", "lm_vocab": "46", "lm_min_count": "47", "lm_teacher_seeds": "48 49",
    "lm_seeds": "50", "lm_objectives": "ce trust", "lm_ce_opts": "drop=0.51", "lm_opts": "epochs=52", "lm_stored": "53",
    "rescore_beam": "54", "rescore_opts": "--grid lm=0:2:0.55", "rescore": "teacher refs", "corpus_note": "a corpus",
    "figures": "figures.jsonl", "note": "a note", "fine_tune_configs": "conf/fine_tune.yaml",
    "exports": "refs mine", "export_opts": "--int8 --licence 56",
}  # fmt: skip
TRANSLATION = {
    "task": "translation", "token_type": "bpe", "vocab": "111", "src_vocab": "112", "unlabelled_set": "captions",
    "students": "refs pseudo_word further", "teacher_fine_tune_config": "conf/fine_tune.yaml", "ppl": "true",
    "nbest_opts": "--x 113", "decode_opts": "--x 114", "score_opts": "--x 115", "ctc_weight": "0.99", "exports": "refs",
}  # fmt: skip
JOINT = {"task": "translation", "token_type": "word", "vocab": "116", "joint_tokens": "true", "students": "word"}
ADOPTED = {"task": "translation", "teacher_dir": "translator", "students": "seq_k1_b5", "stage": "2"}
LM = {
    "train": "data/a.txt", "valid": "data/b.txt", "tests": "data/c.txt data/d.txt", "vocab": "61", "min_count": "62",
    "finetune": "rate=63", "teacher_seeds": "64 65", "seeds": "66", "objectives": "ce trust", "ce_opts": "drop=0.67",
    "lm_opts": "epochs=68", "stored": "69", "draws": "true", "dynamic": "true", "note": "a note",
}  # fmt: skip
FRAMES = {
    "bins": "71", "speed": "0.9,1.0", "frames_opts": "--reach 72", "baseline_seeds": "73 74", "temperatures": "7.5 7.6",
    "main": "7.6", "distil_opts": "epochs=77", "seeds": "78 79", "share": "0.80", "few_opts": "epochs=81",
    "groups": "82", "specialist_opts": "--epochs 83", "model_opts": "drop=0.84", "score_opts": "--x 85",
    "nlsyms": "conf/nlsyms.txt", "note": "a note", "aligner": "model",
}  # fmt: skip
IMAGES = {
    "mnist": "files", "held_out": "91", "seeds": "92 93", "sweep_seeds": "92", "widths": "94 30", "note": "a note",
    "temperatures": "9.5 9.6", "omitted": "3", "kept": "7 8", "groups": "97", "teacher_opts": "epochs=98",
    "student_opts": "epochs=99", "kept_opts": "epochs=100", "specialist_opts": "--batch 101",
}  # fmt: skip
BARE = {
    "students": "nbest",
    "teacher_dir": "model",
    "gpu_inference": "true",
    "ngpu": "2",
    "num_nodes": "3",
    "lm": "true",
}
BARE |= {"decode_nj": "4", "tag": "x", "feats_type": "spectrogram", "lm_objectives": "kl", "stage": "2"}
SCRIPTS = {
    "kd": lambda: kd.work(kd_options(**KD), "./run.sh --x"),
    "kd_bare": lambda: kd.work(kd_options(**BARE), "./run.sh"),
    "translation": lambda: kd.work(kd_options(**TRANSLATION), "./run.sh"),
    "translation_joint": lambda: kd.work(kd_options(**JOINT, stop_stage="3"), "./run.sh"),
    "translation_adopted": lambda: kd.work(kd_options(**ADOPTED, stop_stage="5"), "./run.sh"),
    "lm": lambda: lm_script.work(options_of("utils/lm.sh", **LM), "./run.sh"),
    "frames": lambda: frames.work(options_of("utils/frames.sh", **FRAMES), "./frames.sh"),
    "images": lambda: runpy.run_path(str(ROOT / "egs/mnist/local/plan.py"))["work"](
        options_of("egs/mnist/local/images.sh", **IMAGES), "./run.sh"
    ),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [f"conf/{name}.yaml" for name in ("teacher", "student", "fine_tune", "lm_teacher", "lm_student", "frames")]
    files += ["conf/nlsyms.txt", "data/log/data.log", "data/dev/wav.scp", *(f"data/{name}.txt" for name in "abcd")]
    files += ["exp/teacher_s31/decode_greedy/test/score_wer/.done", "exp/teacher_s31/ppl/test/.done"]
    files += ["exp/lm/student_other/.done", "exp/frames/distilled_T7.6_s79/kdasr.json", "exp/frames/hard_s1/kdasr.json"]
    for file in (*files, "data/test/wav.scp"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("encoder: conv_rnn\n" if file.endswith(".yaml") else "x\n")
    write_model(tmp_path / "model", encoder="conv_rnn")
    write_model(tmp_path / "translator", input_size=None, src_token_list=MODEL["token_list"], src_token_type="char")
    (tmp_path / "conf/students").mkdir()
    for name, recipe in (("mine", MINE), ("further", FURTHER)):
        (tmp_path / f"conf/students/{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return tmp_path


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_step_of_a_script(name, place):
    found = [line.replace(str(place), "HERE") for line in table(SCRIPTS[name]())]
    assert found == (STEPS / f"{name}.txt").read_text().splitlines()


def test_how_a_finished_teacher_is_adopted(place):
    given = {"students": "nbest", "teacher_dir": "model", "teacher_opts": "--lang <eng> --task 'asr'"}
    step = next(step for step in kd.work(kd_options(**given), "./run.sh").steps(1) if "teacher" in step.out)
    out = "exp/teacher_model"
    assert step.commands[0].words == ("kdasr", "adopt", "model", "--out", out, "--lang", "<eng>", "--task", "asr")
    assert step.settings == {"teacher_dir": "model", "teacher_opts": "--lang <eng> --task asr"}
    with pytest.raises(UserError, match="--teacher_opts --lang eng: is for a finished model; give --teacher_dir, too"):
        kd_options(students="nbest", teacher_opts="--lang eng")


def test_all_words_of_a_language_models_teachers_may_be_stored(place):
    work = lm_script.work(options_of("utils/lm.sh", **LM | {"stored": "all"}), "./run.sh")
    [soft] = [step for step in work.steps(3) if "/soft_" in step.out]
    words = soft.commands[0].words
    assert words[words.index("--kept") + 1] == "0" and soft.out.endswith("/soft_all_draws")


def test_a_teacher_of_ctc_alone_decodes_with_ctc_alone(place):
    write_model(place / "model", model_conf={"ctc_weight": 1.0})
    given = {"students": "nbest", "teacher_dir": "model", "ppl": "true", "ctc_weight": "0.3"}
    work = kd.work(kd_options(**given), "./run.sh")
    found = {}
    for stage in (4, 6):
        for step in work.steps(stage):
            for command in step.commands:
                words = command.words
                weight = words[words.index("--ctc_weight") + 1] if "--ctc_weight" in words else None
                model = words[words.index("--model") + 1]
                found.setdefault((words[1], model.split("/")[1].split("_")[0]), set()).add(weight)
    expected = {("nbest", "teacher"): {"1"}, ("decode", "teacher"): {"1"}, ("decode", "student"): {"0", "0.3"}}
    assert found == {**expected, ("ppl", "student"): {None}}


def test_a_packed_teacher_is_unpacked_before_its_tokens_are_taken(place):
    (place / "asr.zip").write_text("x")
    steps = list(kd.work(kd_options(students="nbest", teacher_dir="asr.zip", stage="3"), "./run.sh").steps(3))
    assert [step.out for step in steps] == ["exp/teacher_asr", "dump/tokens/of_asr"]
    assert steps[0].commands[0].words == ("kdasr", "adopt", "asr.zip", "--out", "exp/teacher_asr")
    assert steps[1].commands[0].words[:4] == ("kdasr", "tokens", "--model", "exp/teacher_asr")
    assert [step.inputs[0] for step in steps] == ["asr.zip", "asr.zip"]


@pytest.mark.parametrize("source", ["model", "asr.zip"])
def test_a_finished_teacher_is_looked_at_before_features_are_made(place, source):
    """Whether it is whole, and whether the transcripts are written with its tokens: in the first stage that runs."""
    (place / "asr.zip").write_text("x")
    work = kd.work(kd_options(students="nbest", teacher_dir=source, data_opts="--x 1"), "./run.sh")
    name = source.removesuffix(".zip")
    first, adopted, tokens = work.steps(1)
    assert [first.out, adopted.out, tokens.out] == ["data", f"exp/teacher_{name}", f"dump/tokens/of_{name}"]
    assert tokens.commands[0].words[-4:] == ("--check", *(f"data/{one}/text" for one in ("train", "dev", "test")))
    assert {step.stage for step in (adopted, tokens)} == {1} and work.steps(3) == []
    assert work.about(1).endswith(f", {tokens.out}, {adopted.out}")
    later = kd.work(kd_options(students="nbest", teacher_dir=source, stage="2"), "./run.sh")
    assert [step.out for step in later.steps(3)] == [adopted.out, tokens.out]
    assert [dict(step.settings) for step in later.steps(3)] == [dict(adopted.settings), dict(tokens.settings)]
    assert [step.inputs for step in later.steps(3)] == [adopted.inputs, tokens.inputs]


def test_which_transcripts_have_to_fit_a_finished_teacher(place):
    """All that there will be; with audio alone those of the test sets."""
    given = {"students": "pseudo_soft", "teacher_dir": "model", "unlabelled_set": "calls", "test_sets": "one two"}
    for more, right in (
        ({}, ["data/train/text", "data/dev/text", "data/one/text", "data/two/text"]),
        ({"train_set": ""}, ["data/one/text", "data/two/text"]),
    ):
        *_, step = kd.work(kd_options(**given, **more), "./run.sh").steps(1)
        words = step.commands[0].words
        assert step.out.startswith("dump/tokens") and step.needs == ((1, "data"),)
        assert list(words[words.index("--check") + 1 :]) == right


def smaller(place, seed, students, recipes, **given):
    """The steps of stage 5 by what they finish, with student recipes that are written first."""
    for name, recipe in recipes.items():
        learns = {} if "targets_of" in recipe else {"learns_from": "references"}
        text = yaml.safe_dump({"label": name, **learns, **recipe}, sort_keys=False)
        (place / f"conf/students/{name}.yaml").write_text(text)
    steps = kd.work(kd_options(students=students, seeds=seed, **given), "./run.sh").steps(5)
    return {step.out: step for step in steps}


def following(step, option):
    """What stands behind an option of a step's command; None where it is not given."""
    (command,) = step.commands
    words = command.words
    return words[words.index(option) + 1] if option in words else None


def test_a_student_of_a_budget_trains_the_network_that_comes_out(place):
    less = {"starts_from": "teacher", "config": "teacher", "shrink": {"params": 104, "by": "layers", "utterances": 7}}
    given = {"transcribed": "0.5", "audio_opts": "--channel 103"}
    steps = smaller(place, "32", "less", {"less": less}, **given)
    out, lab = "exp/student_less_s32/shrunk", "dump/fbank/train_lab0.5"
    shrunk, trained = steps[out], steps["exp/student_less_s32"]
    assert list(stage_table([shrunk])) == [
        f"{out} (quiet)",
        "  with shrink=--params 104 --by layers --utterances 7 | audio_opts=--channel 103",
        f"  from exp/teacher_s1 conf/teacher.yaml {lab}",
        f"  needs 3:exp/teacher_s1 2:{lab}",
        "  train exp/student_less_s32/log/shrink.log kdasr shrink --model exp/teacher_s1 --params 104 --by layers"
        f" --utterances 7 --train_config conf/teacher.yaml --data {lab} --channel 103 --out {out}",
    ]
    assert following(trained, "--config") == f"{out}/train.yaml" and f"{out}/train.yaml" in trained.inputs
    assert following(trained, "--init") == out and out in trained.inputs
    assert following(trained, "--mask") is None and following(trained, "--teacher") == "teacher_s1"


def test_a_student_like_its_configuration_trains_with_that(place):
    less = {"starts_from": "teacher", "config": "student", "shrink": {"like": "config"}}
    steps = smaller(place, "32", "less", {"less": less})
    shrunk, trained = steps["exp/student_less_s32/shrunk"], steps["exp/student_less_s32"]
    assert dict(shrunk.settings) == {"shrink": "--like"}
    assert shrunk.inputs == ("exp/teacher_s1", "conf/student.yaml", "dump/fbank/train")
    assert following(shrunk, "--like") == following(trained, "--config") == "conf/student.yaml"
    assert following(shrunk, "--train_config") is None and following(trained, "--init") == shrunk.out


def test_masks_end_where_a_model_is_cut(place):
    """What is pruned and then shrunk has no mask that fits; what is shrunk and then pruned has."""
    recipes = {
        "pruned": {"starts_from": "refs", "prune": {"sparsity": 0.5}},
        "cut": {"starts_from": "pruned", "config": "student", "shrink": {"like": "config"}},
        "more": {"starts_from": "cut"},
        "again": {"starts_from": "cut", "prune": {"sparsity": 0.5}},
        "last": {"starts_from": "again"},
    }
    steps = smaller(place, "32", "more last", recipes)
    masks = {name: following(steps[f"exp/student_{name}_s32"], "--mask") for name in recipes}
    assert masks == {
        "pruned": "exp/student_pruned_s32/pruned/mask.pth",
        "cut": None,
        "more": None,
        "again": "exp/student_again_s32/pruned/mask.pth",
        "last": "exp/student_again_s32/mask.pth",
    }
    assert steps["exp/student_cut_s32/shrunk"].needs[0] == (5, "exp/student_pruned_s32")


def test_nothing_starts_from_a_network_of_its_own_size_with_a_configuration(place):
    less = {"starts_from": "refs", "shrink": {"params": 104}}
    for more in ({"starts_from": "less"}, {"starts_from": "less", "prune": {"sparsity": 0.5}}):
        with pytest.raises(
            UserError, match=r"conf/students/more\.yaml: starts_from less: conf/students/less\.yaml has a net"
        ):
            smaller(place, "32", "more", {"less": less, "more": more})


def test_where_nothing_is_transcribed_the_teachers_labels_show_what_matters(place):
    write_model(place / "model", encoder="conv_rnn")
    less = {"targets_of": "pseudo_soft", "starts_from": "teacher", "config": "student", "shrink": {"like": "config"}}
    given = {"teacher_dir": "model", "train_set": "", "unlabelled_set": "calls"}
    steps = smaller(place, "32", "less", {"less": less}, **given)
    shrunk = steps["exp/student_less_s32/shrunk"]
    valid = following(steps["exp/student_less_s32"], "--valid")
    assert following(shrunk, "--data") == valid and valid in steps
    assert valid in shrunk.inputs and shrunk.needs[1] == (5, valid)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"speed": "0.9,1.1"}, "--speed 0.9,1.1: is for speech, and --task translation reads text; leave it out"),
        ({"audio_opts": "--channel 2"}, "--audio_opts --channel 2: is for speech"),
        ({"min_duration": "0.1"}, "--min_duration 0.1: is for speech"),
        ({"nlsyms": "conf/nlsyms.txt"}, "--nlsyms conf/nlsyms.txt: is for speech"),
        ({"lm": "true"}, "--lm, stages 8 and 9: rerank what recognisers heard"),
        ({"src_vocab": "many"}, "--src_vocab many: expected a number of units"),
        ({"src_vocab": "300", "joint_tokens": "true"}, "one list of both texts has --vocab units"),
        ({"task": "recognition", "src_vocab": "300"}, "are of text that is translated; leave them out"),
        ({"task": "recognition", "joint_tokens": "true"}, "are of text that is translated; leave them out"),
        ({"task": "mt"}, "--task mt: expected recognition or translation"),
    ],
)
def test_what_is_refused_of_translation(given, said):
    with pytest.raises(UserError, match=re.escape(said)):
        kd_options(**{"task": "translation", **given})


def test_what_a_translator_reads_is_told_by_its_configuration_before_anything_runs(place):
    for task, frontend, said in (
        ("translation", "default", "conf/teacher.yaml: frontend is default, and source text takes one of embed"),
        ("recognition", "lookup", "conf/teacher.yaml: frontend lookup reads source text"),
    ):
        (place / "conf/teacher.yaml").write_text(f"frontend: {frontend}\n")
        with pytest.raises(UserError, match=re.escape(said)):
            kd.work(kd_options(task=task, students="refs", data_opts="--x 1"), "./run.sh")


def test_students_of_ctc_frames_are_refused_where_text_is_translated(place):
    with pytest.raises(UserError, match=r"word_ctc\.yaml: ctc_word_weight: a translator has no CTC branch"):
        kd.work(kd_options(task="translation", students="word_ctc"), "./run.sh")


def test_what_each_decode_tag_searches_with(place):
    """Beam, weight of CTC, and whether hypotheses are ordered by score a token."""
    tags = ("greedy", "beam", "beam20", "attention", "attention7", "attention_token", "attention10_token")
    given = {"students": "nbest", "beam": "6", "ctc_weight": "0.3", "decode_tags": " ".join(tags)}
    found = {}
    for step in kd.work(kd_options(**given), "./run.sh").steps(6):
        words = step.commands[0].words
        if words[1] == "decode":
            told = [words[words.index(name) + 1] for name in ("--beam", "--ctc_weight")]
            assert ("normalize_length" in step.settings) == ("--normalize_length" in words)
            tag = step.out.split("/decode_")[1].split("/")[0]
            found.setdefault(tag, set()).add((*told, "--normalize_length" in words))
    assert found == {
        "greedy": {("1", "0", False)}, "beam": {("6", "0.3", False)}, "beam20": {("20", "0.3", False)},
        "attention": {("6", "0", False)}, "attention7": {("7", "0", False)},
        "attention_token": {("6", "0", True)}, "attention10_token": {("10", "0", True)},
    }  # fmt: skip
