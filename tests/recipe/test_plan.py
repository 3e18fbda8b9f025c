"""What a run is made of: order, archives, teachers, and student recipes that do not fit."""

from pathlib import Path

import pytest
import yaml
from scripts import kd_plan

from kdasr.errors import UserError
from kdasr.recipe import stages, students
from kdasr.recipe.plan import Archive


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/students").mkdir(parents=True)

    def one(name, folder="conf/students", **given):
        given = {"label": name} | ({} if "targets_of" in given else {"learns_from": "references"}) | given
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.yaml").write_text(yaml.safe_dump(given))

    return one


def names(plan):
    return [one.name for one in plan.students]


def test_what_another_goes_on_from_stands_before_it_and_once(write):
    write("a")
    write("b", starts_from="a")
    write("c", starts_from="b")
    write("d", starts_from="teacher")
    assert names(kd_plan(students="c b d a c")) == ["a", "b", "c", "d"]


def test_without_untranscribed_audio_some_are_left_out(write):
    write("a")
    write("p", learns_from="pseudo_labels")
    write("q", learns_from="all_references")
    write("r", starts_from="p")
    write("h", learns_from="all_hypotheses")
    plan = kd_plan(students="p a q h")
    assert names(plan) == ["a"] and plan.left_out == ("p", "q", "h")
    plan = kd_plan(students="p a q r h", transcribed="0.5")
    assert names(plan) == ["p", "a", "q", "r", "h"] and plan.left_out == ()
    with pytest.raises(UserError, match=r"--students p q: all audio is transcribed; with --transcribed 0\.5"):
        kd_plan(students="p q")
    with pytest.raises(UserError, match=r"p\.yaml: learns_from pseudo_labels: all audio is transcribed"):
        kd_plan(students="r")


def test_archives(write):
    """Of which model, of which set, how wide; the same search once."""
    write("a", learns_from="hypotheses")
    write("b", learns_from="hypotheses", selection={"select": "best"})
    write("w", learns_from="hypotheses", beam=9)
    write("n", learns_from="pseudo_labels", nbest=4)
    write("e", learns_from="pseudo_labels", teachers=2, beam=5, nbest=5)
    write("x", learns_from="crossfit", nbest=7)
    write("r", distillation={"word_weight": 0.5}, teachers=3)
    write("all", learns_from="all_hypotheses", beam=6)
    lab, unlab = "dump/fbank/train_lab0.5", "dump/fbank/train_unlab0.5"
    one, two, fold = "exp/teacher_s1", "exp/teacher_s2", "exp/teacher_fold{}of2_s1"
    plan = kd_plan(students="a b w n e x r all", transcribed="0.5")
    assert plan.archives == [
        Archive(f"{one}/nbest_train_lab0.5", lab, (one,), 5, 5),
        Archive(f"{one}/nbest_train_lab0.5_b9n5", lab, (one,), 9, 5),
        Archive(f"{one}/nbest_train_unlab0.5_b5n4", unlab, (one,), 5, 4),
        Archive(f"{one}/ensemble2/nbest_train_unlab0.5", unlab, (one, two), 5, 5),
        *(
            Archive(f"{fold.format(n)}/nbest_fold{n}_b5n7", f"{lab}_folds2/fold{n}", (fold.format(n),), 5, 7)
            for n in (1, 2)
        ),
        Archive(f"{one}/nbest_train_lab0.5_b6n5", lab, (one,), 6, 5),
        Archive(f"{one}/nbest_train_unlab0.5_b6n5", unlab, (one,), 6, 5),
    ]
    assert plan.teachers == [one, two, "exp/teacher_s3"] and plan.crossfits
    assert not kd_plan(students="a").crossfits and kd_plan(students="a").teachers == [one]


def test_students_of_each_configuration_and_seed(write):
    write("a")
    write("t", starts_from="teacher", config="teacher")
    configs = "conf/student.yaml conf/small_student.yaml"
    plan = kd_plan(students="a t", student_configs=configs, seeds="1 2")
    assert plan.student_dirs == [
        *(f"exp/student_{name}_s{seed}" for name in ("a", "small_a", "t") for seed in (1, 2)),
    ]  # fmt: skip
    with pytest.raises(UserError, match="exp/student_a_s1: two students would be written there"):
        kd_plan(students="a", seeds="1 1")
    with pytest.raises(UserError, match="exp/student_a_s1: two students would be written there"):
        kd_plan(students="a", student_configs="conf/student.yaml other/student.yaml")


def test_a_student_goes_on_from_that_of_its_own_seed_and_configuration(write):
    write("a")
    write("b", starts_from="a")
    for name in ("student", "small_student"):
        Path(f"conf/{name}.yaml").write_text("encoder: conv_rnn\n")
    plan = kd_plan(students="b", student_configs="conf/student.yaml conf/small_student.yaml", seeds="3 4")
    begun = {
        step.out: words[words.index("--init") + 1]
        for step in students.student(plan)
        if "--init" in (words := step.commands[0].words)
    }
    names = [f"{name}{{}}_s{seed}" for name in ("exp/student", "exp/student_small") for seed in (3, 4)]
    assert begun == {name.format("_b"): name.format("_a") for name in names}


def generations(write):
    write("again", learns_from="pseudo_labels", config="teacher", label="second")
    write("third", learns_from="pseudo_labels", config="teacher", taught_by="again", label="third")
    write("pupil", learns_from="pseudo_labels", taught_by="third", distillation={"word_weight": 0.5}, beam=9)
    write("more", targets_of="pupil", starts_from="pupil")


def test_a_student_that_teaches_stands_before_those_it_teaches_and_is_trained_once(write):
    generations(write)
    for name in ("teacher", "student"):
        Path(f"conf/{name}.yaml").write_text("encoder: conv_rnn\n")
    plan = kd_plan(students="more", transcribed="0.5", seeds="7 8", nbest="4", beam="5")
    assert names(plan) == ["again", "third", "pupil", "more"]
    assert plan.only_teach == {"conf/students/again.yaml", "conf/students/third.yaml"}
    dirs = [
        [path.removeprefix("exp/student_") for path in plan.dirs(one, "conf/student.yaml")] for one in plan.students
    ]
    assert dirs == [["again_s7"], ["third_s7"], ["pupil_s7", "pupil_s8"], ["more_s7", "more_s8"]]
    assert not kd_plan(students="again third pupil", transcribed="0.5", seeds="7 8").only_teach
    # in stage 4 the teacher searches; what students search, and say, is of stage 5, behind their training
    assert [(one.out, one.models) for one in plan.archives] == [
        ("exp/teacher_s1/nbest_train_unlab0.5", ("exp/teacher_s1",))
    ]
    found = [step.out for step in students.student(plan)]
    again, third = "exp/student_again_s7", "exp/student_third_s7"
    assert found == [
        "exp/teacher_s1/targets_again", again,
        f"{again}/nbest_train_unlab0.5", f"{again}/targets_third", third,
        f"{third}/nbest_train_unlab0.5_b9n4", f"{third}/targets_pupil", "exp/student_pupil_s7", "exp/student_pupil_s8",
        "exp/student_more_s7", "exp/student_more_s8",
    ]  # fmt: skip
    steps = {step.out: step for step in students.student(plan)}
    search, targets, pupil = (steps[found[number]] for number in (5, 6, 7))
    assert (5, third) in search.needs and (2, "dump/fbank/train_unlab0.5") in search.needs
    assert search.commands[0].words[:4] == ("kdasr", "nbest", "--model", third)
    assert {(5, search.out), (5, third)} <= set(targets.needs) and third in targets.inputs
    assert targets.commands[1].words[:4] == ("kdasr", "soft", "--model", third)
    words = pupil.commands[0].words
    assert words[words.index("--teacher") + 1] == "student_third_s7"
    assert words[words.index("--targets") + 1] == f"{third}/targets_pupil"
    config = steps[third].commands[0].words
    assert config[config.index("--config") + 1] == "conf/teacher.yaml"


def test_who_cannot_teach(write):
    write("small", learns_from="pseudo_labels")
    write("a", learns_from="pseudo_labels", taught_by="small")
    write("b", learns_from="pseudo_labels", config="teacher", taught_by="c")
    write("c", learns_from="pseudo_labels", config="teacher", starts_from="b")
    for name, said in (
        ("a", "a.yaml: taught_by small: it has not the teacher's network"),
        ("b", "b.yaml: taught_by c: starts from itself in the end"),
        ("c", "c.yaml: starts_from b: starts from itself in the end"),
    ):
        with pytest.raises(UserError, match=said):
            kd_plan(students=name, transcribed="0.5")


def test_recipes_that_do_not_fit(write):
    write("a")
    write("a", "other")
    write("loop", starts_from="pool")
    write("pool", starts_from="loop")
    write("t", starts_from="teacher", config="teacher")
    write("e", learns_from="hypotheses", teachers=2)
    write("o", learns_from="hypotheses")
    write("o", "other", learns_from="hypotheses")
    write("p", targets_of="other/o.yaml")
    write("s", targets_of="conf/students/o.yaml")
    write("s", "other", targets_of="conf/students/o.yaml")
    for given, said in (
        ({"students": "s other/s.yaml"}, "other/s.yaml and conf/students/s.yaml are different student recipes"),
        ({"students": "a other/a.yaml"}, "other/a.yaml and conf/students/a.yaml are different student recipes"),
        ({"students": "o p"}, "other/o.yaml and conf/students/o.yaml are different student recipes"),
        ({"students": "loop"}, "loop.yaml: starts_from pool: starts from itself in the end"),
        ({"students": "a nobody"}, "--students nobody: no such student recipe"),
        ({"students": "t", "teacher_dir": "m"}, "t.yaml: config teacher: --teacher_dir's network"),
        ({"students": "e", "teacher_dir": "m"}, "e.yaml: teachers 2: --teacher_dir names one"),
    ):
        with pytest.raises(UserError, match=said):
            kd_plan(**given)


def test_non_linguistic_symbols_and_search_on_gpus(write, tmp_path):
    write("a")
    (tmp_path / "n.txt").write_text("")
    assert kd_plan(students="a", nlsyms="n.txt").nlsyms == kd_plan(students="a").nlsyms == ()
    (tmp_path / "n.txt").write_text("<NOISE>\n")
    assert kd_plan(students="a", nlsyms="n.txt").nlsyms == ("--nlsyms", "n.txt")
    assert kd_plan(students="a").on_gpu == ("decode", (), ())
    assert kd_plan(students="a", gpu_inference="true").on_gpu == ("cuda", ("--gpu", "1"), ("--ngpu", "1"))


def test_targets_that_agree_with_another_system_depend_on_its_archive(write):
    write("a", learns_from="pseudo_labels", selection={"agree": "exp/whisper/nb", "max_disagreement": 20})
    plan = kd_plan(students="a", transcribed="0.5")
    step = students.targets(plan, plan.students[0])
    assert "exp/whisper/nb/manifest.json" in step.inputs
    words = step.commands[0].words
    assert words[words.index("--agree") :][:4] == ("--agree", "exp/whisper/nb", "--max_disagreement", "20")


def test_hypotheses_of_another_system_are_taken_from_its_archive(write, tmp_path):
    """Nothing is searched for, and the targets are made again when the archive is another one."""
    write("a", learns_from="pseudo_labels", archive="exp/whisper/nb")
    plan = kd_plan(students="a", transcribed="0.5")
    assert plan.archives == []
    with pytest.raises(UserError, match=r"a\.yaml: archive exp/whisper/nb: holds no finished N-best archive"):
        students.targets(plan, plan.students[0])
    (tmp_path / "exp/whisper/nb").mkdir(parents=True)
    (tmp_path / "exp/whisper/nb/summary.json").write_text("{}")
    step = students.targets(plan, plan.students[0])
    words = step.commands[0].words
    assert words[words.index("--nbest") :][:2] == ("--nbest", "exp/whisper/nb")
    assert step.inputs[0] == "exp/whisper/nb/summary.json"
    assert not [need for need in step.needs if need[0] == 4]


def test_hypotheses_of_all_audio(write):
    """Both archives are targets, references only measure them, and the student trains on both sets."""
    write("a", learns_from="all_hypotheses")
    Path("conf/student.yaml").write_text("x: 1\n")
    plan = kd_plan(students="a", unlabelled_set="calls")
    targets, student = students.student(plan)
    lab, unlab = "dump/fbank/train", "dump/fbank/calls"
    archives = [f"exp/teacher_s1/nbest_{name}" for name in ("train", "calls")]
    words = targets.commands[0].words
    assert words[2:] == (
        *("--nbest", *archives, "--against", f"{lab}/text", "--tokens", "dump/tokens/char"),
        *("--out", "exp/teacher_s1/targets_a"),
    )
    assert {*archives, lab} < set(targets.inputs) and {(4, one) for one in archives} < set(targets.needs)
    words = student.commands[0].words
    assert words[words.index("--train") :][:3] == ("--train", lab, unlab)
    assert words[words.index("--learned_from") + 1] == "all_hypotheses"


def test_a_set_that_nobody_transcribed(write, tmp_path):
    """Teachers and baselines train on the training set alone, students on both, the oracle not at all."""
    write("a")
    write("p", learns_from="pseudo_labels", distillation={"word_weight": 0.5})
    write("q", learns_from="all_references")
    given = {"students": "a p q", "unlabelled_set": "calls", "speed": "0.9,1.0"}
    plan = kd_plan(**given)
    assert names(plan) == ["a", "p"] and plan.left_out == ("q",)
    lab, unlab = "dump/fbank/train_sp", "dump/fbank/calls_sp"
    assert [(one.out, one.data) for one in plan.archives] == [("exp/teacher_s1/nbest_calls_sp", unlab)]
    assert [(step.out, step.settings["speed"]) for step in stages.feats(plan)] == [
        (lab, "0.9,1.0"), ("dump/fbank/dev", ""), ("dump/fbank/test", ""), (unlab, "0.9,1.0"),
    ]  # fmt: skip
    (tmp_path / "conf/student.yaml").write_text("x: 1\n")
    targets, first, second = students.student(plan)
    select, soft, _ = (command.words for command in targets.commands)
    assert select[select.index("--refs") :][:2] == ("--refs", f"{lab}/text")
    assert soft[soft.index("--data") :][:3] == ("--data", lab, unlab)
    trained = [step.commands[0].words for step in (first, second)]
    sets = [words[words.index("--train") + 1 : words.index("--valid")] for words in trained]
    assert sorted(sets) == [(lab,), (lab, unlab)]
    assert (2, unlab) in [need for step in (first, second) for need in step.needs]
    with pytest.raises(UserError, match="are two ways to have untranscribed audio"):
        kd_plan(**given, transcribed="0.5")
    with pytest.raises(UserError, match=r"q\.yaml: learns_from all_references: nobody has transcribed"):
        write("r", starts_from="q")
        kd_plan(students="r", unlabelled_set="calls")


ALONE = {"train_set": "", "teacher_dir": "/m/big", "unlabelled_set": "calls", "valid_set": "dev"}


def test_audio_alone(write, tmp_path):
    """A finished teacher labels all there is; a part that is not trained on is for validation."""
    write("p", learns_from="pseudo_labels", distillation={"word_weight": 0.5})
    (tmp_path / "conf/student.yaml").write_text("x: 1\n")
    plan = kd_plan(students="p", target_opts="--max_repeat 3", nbest="4", **ALONE)
    teacher, feats = "exp/teacher_big", "dump/fbank"
    assert plan.archives == [
        Archive(f"{teacher}/nbest_calls", f"{feats}/calls", (teacher,), 5, 4),
        Archive(f"{teacher}/nbest_dev", f"{feats}/dev", (teacher,), 5, 1),
    ]
    assert [step.out for step in stages.feats(plan)] == [f"{feats}/{name}" for name in ("dev", "test", "calls")]
    valid, targets, student = students.student(plan)
    choose, label = (command.words for command in valid.commands)
    assert choose == (
        *("kdasr", "targets", "--nbest", f"{teacher}/nbest_dev", "--tokens", "dump/tokens/of_big"),
        *("--out", f"{teacher}/targets_dev", "--max_repeat", "3"),
    )
    assert label == (
        *("kdasr", "data", "transcripts", "--in", f"{feats}/dev", "--text", f"{teacher}/targets_dev/text"),
        *("--out", f"{feats}/dev_labels"),
    )
    assert valid.out == f"{feats}/dev_labels" and (4, f"{teacher}/nbest_dev") in valid.needs
    assert f"{teacher}/nbest_dev" in valid.inputs and valid.settings == {"target_opts": "--max_repeat 3"}
    select, soft, _ = (command.words for command in targets.commands)
    assert "--refs" not in select and soft[soft.index("--data") :][:3] == ("--data", f"{feats}/calls", "--kept")
    words = student.commands[0].words
    assert words[words.index("--train") :][:4] == ("--train", f"{feats}/calls", "--valid", f"{feats}/dev_labels")
    assert (5, valid.out) in student.needs and valid.out in student.inputs
    assert not any(path in ("", ".") for step in (valid, targets, student) for path in step.inputs)
    assert kd_plan(students="p", unlabelled_set="calls").layout.valid == f"{feats}/dev"


def test_audio_alone_lacks_transcripts(write, tmp_path):
    for kind in ("references", "hypotheses", "crossfit", "all_references", "all_hypotheses", "pseudo_labels"):
        write(kind, learns_from=kind)
    plan = kd_plan(students="references hypotheses crossfit all_references all_hypotheses pseudo_labels", **ALONE)
    assert names(plan) == ["pseudo_labels"] and len(plan.left_out) == 5
    with pytest.raises(
        UserError, match="--students references: nothing is transcribed; of such audio students learn by"
    ):
        kd_plan(students="references", **ALONE)
    for given, said in (
        ({"teacher_dir": ""}, r"--teacher_dir: without transcripts \(--train\) no teacher can be trained"),
        ({"unlabelled_set": ""}, "--unlabelled_set: without transcripts it is all there is"),
        ({"lm": "true"}, "--lm_text_opts: without transcripts language models need a text"),
    ):
        with pytest.raises(UserError, match=said):
            kd_plan(students="pseudo_labels", **{**ALONE, **given})


def test_what_agrees_with_greedy_search_is_searched_twice(write):
    """In stage 4 by the teacher; by a student that teaches in stage 5."""
    agree = {"agree": "greedy", "max_disagreement": 20}
    for name in ("teacher", "student"):
        Path(f"conf/{name}.yaml").write_text("encoder: conv_rnn\n")
    write("a", learns_from="pseudo_labels", selection=agree)
    write("b", learns_from="hypotheses", selection=agree, beam=7, teachers=2)
    plan = kd_plan(students="a b", transcribed="0.5", nbest="4", beam="5")
    found = [(one.out, one.beam, one.nbest, len(one.models)) for one in plan.archives]
    assert found == [
        ("exp/teacher_s1/nbest_train_unlab0.5", 5, 4, 1), ("exp/teacher_s1/nbest_train_unlab0.5_b1n1", 1, 1, 1),
        ("exp/teacher_s1/ensemble2/nbest_train_lab0.5_b7n4", 7, 4, 2),
        ("exp/teacher_s1/ensemble2/nbest_train_lab0.5_b1n1", 1, 1, 2),
    ]  # fmt: skip
    step = students.targets(plan, plan.students[0])
    words, narrow = step.commands[0].words, "exp/teacher_s1/nbest_train_unlab0.5_b1n1"
    assert words[words.index("--nbest") + 1 :][:2] == ("exp/teacher_s1/nbest_train_unlab0.5", "--refs")
    assert words[words.index("--agree") :][:4] == ("--agree", narrow, "--max_disagreement", "20")
    assert narrow in step.inputs and (4, narrow) in step.needs
    write("again", learns_from="pseudo_labels", config="teacher")
    write("c", learns_from="pseudo_labels", selection=agree, taught_by="again")
    plan = kd_plan(students="c", transcribed="0.5", nbest="4", beam="5")
    searched = [step.out for step in students.student(plan) if step.commands[0].words[1] == "nbest"]
    assert searched == [f"exp/student_again_s1/nbest_train_unlab0.5{kind}" for kind in ("", "_b1n1")]
