"""Student recipes (utils/students): what each calls. A stand-in for `kdasr` records it."""

from stand_in import UTILS, kd, trained


def test_recipes_call_what_they_need(recipe):
    """An ensemble, cross-fitting, a wider beam, soft targets, and a student that goes on from another, pruned."""
    (recipe / "conf/fine_tune.yaml").write_text("# less\n")
    _, calls = kd(
        recipe,
        "--students",
        "word ensemble crossfit prune80",
        "--stop_stage",
        "5",
        "--fine_tune_configs",
        "conf/fine_tune.yaml",
    )
    teachers = [f"exp/teacher_s{n}" for n in (1, 2, 3)]
    students = [
        f"exp/student_{name}_s1" for name in ("word", "ensemble", "crossfit", "seq_k1_b5", "prune80_seq", "prune80")
    ]
    folds = ["exp/teacher_fold1of2_s1", "exp/teacher_fold2of2_s1"]
    assert sorted(trained(calls)) == sorted([*teachers, *folds, *students])
    assert trained(calls)[-2:] == ["exp/student_prune80_seq_s1", "exp/student_prune80_s1"]
    tail = "--valid dump/fbank/dev --tokens dump/tokens/char --out"
    search = "--ctc_weight 0.3"
    for call in (
        "data folds dump/fbank/train --folds 2 --out dump/fbank/train_folds2",
        f"train --config conf/teacher.yaml --train dump/fbank/train_folds2/rest2 {tail} {folds[1]} --seed 1 --ngpu 0"
        " --role teacher --recipe fold2of2 --label teacher without fold 2 of 2",
        f"nbest --model {folds[1]} --data dump/fbank/train_folds2/fold2 --out {folds[1]}/nbest_fold2 --beam 5 --nbest 5"
        f" {search} --merge",
        "nbest --model exp/teacher_s1 --data dump/fbank/train --out exp/teacher_s1/nbest_train_b10n10"
        f" --beam 10 --nbest 10 {search} --merge",
        f"targets --nbest {folds[0]}/nbest_fold1 {folds[1]}/nbest_fold2 --against dump/fbank/train/text"
        " --tokens dump/tokens/char --out exp/teacher_s1/targets_crossfit --select posterior",
        "targets --refs dump/fbank/train/text --tokens dump/tokens/char --out exp/teacher_s1/targets_ensemble",
        f"soft --model {' '.join(teachers)} --targets exp/teacher_s1/targets_ensemble --data dump/fbank/train --kept 8"
        " --merge",
        f"train --config conf/student.yaml --train dump/fbank/train {tail} exp/student_word_s1"
        " --targets exp/teacher_s1/targets_word --teacher teacher_s1 --kd word_weight=0.5 --seed 1 --ngpu 0"
        " --role student --recipe word --learned_from references --label Word-KD",
        "prune --model exp/student_seq_k1_b5_s1 --sparsity 0.8 --scheme distribution --spare 0.01"
        " --out exp/student_prune80_seq_s1/pruned",
        f"train --config conf/student.yaml --train dump/fbank/train {tail} exp/student_prune80_seq_s1"
        " --targets exp/teacher_s1/targets_seq_k1_b5 --teacher teacher_s1 --init exp/student_prune80_seq_s1/pruned"
        " --mask exp/student_prune80_seq_s1/pruned/mask.pth --seed 1 --ngpu 0 --role student"
        " --recipe prune80_seq --learned_from hypotheses --label Seq-KD pruned by 80 %",
        f"train --config conf/fine_tune.yaml --train dump/fbank/train {tail} exp/student_prune80_s1"
        " --targets exp/teacher_s1/targets_inter --teacher teacher_s1 --init exp/student_prune80_seq_s1"
        " --mask exp/student_prune80_seq_s1/mask.pth --seed 1 --ngpu 0 --role student"
        " --recipe prune80 --learned_from hypotheses --label Seq-KD pruned by 80 %, Seq-Inter",
    ):
        assert call in calls
    _, calls = kd(
        recipe,
        "--students",
        "word ensemble crossfit prune80",
        "--stop_stage",
        "5",
        "--fine_tune_configs",
        "conf/fine_tune.yaml",
    )
    assert calls == []


def test_recipes_that_shrink_the_teacher(recipe):
    """To the student's network, which trains with its configuration; to one of its own size, with the one beside it."""
    words = ["--students", "shrunk_refs shrunk low_rank", "--transcribed", "0.5", "--stop_stage", "5"]
    _, calls = kd(recipe, *words)
    lab, out = "dump/fbank/train_lab0.5", "exp/student"
    shrink = "shrink --model exp/teacher_s1"
    assert {call for call in calls if call.startswith("shrink ")} == {  # side by side
        f"{shrink} --like conf/student.yaml --data {lab} --out {out}_shrunk_refs_s1/shrunk",
        f"{shrink} --like conf/student.yaml --data {lab} --out {out}_shrunk_s1/shrunk",
        f"{shrink} --by rank --energy 0.9 --train_config conf/teacher.yaml --data {lab} --out {out}_low_rank_s1/shrunk",
    }
    made = {call.split("--out ")[1].split()[0]: call for call in calls if call.startswith("train ")}
    for name, config, learnt in (
        ("shrunk_refs", "conf/student.yaml", None),
        ("shrunk", "conf/student.yaml", "exp/teacher_s1/targets_pseudo_soft"),
        ("low_rank", f"{out}_low_rank_s1/shrunk/train.yaml", "exp/teacher_s1/targets_pseudo_soft"),
    ):
        call = made[f"{out}_{name}_s1"]
        assert f"--config {config} " in call and f"--init {out}_{name}_s1/shrunk" in call and "--mask" not in call
        assert (f"--targets {learnt} " in call) if learnt else ("--targets" not in call)
        assert "--teacher teacher_s1" in call and f"--recipe {name} " in call
    _, calls = kd(recipe, *words)
    assert calls == []


def test_the_teachers_of_an_ensemble_are_scored_too(recipe):
    _, calls = kd(recipe, "--students", "ensemble", "--decode_tags", "beam", "--stop_stage", "7")
    decoded = sorted(call.split("--model ")[1].split()[0] for call in calls if call.startswith("decode"))
    assert decoded == ["exp/student_ensemble_s1", *(f"exp/teacher_s{n}" for n in (1, 2, 3))]
    (recipe / "exp/teacher_s2/.done").unlink()
    output, _ = kd(recipe, "--students", "ensemble", "--stage", "6", status=1)
    assert "exp/teacher_s2: not finished; run stage 3 (teacher) first" in output


def test_what_descends_from_the_teacher_names_it(recipe):
    """Its figures are of that teacher, whatever it learns from."""
    _, calls = kd(recipe, "--students", "prune91_refs refs_fine_tune", "--stop_stage", "5")
    named = {call.split("--out ")[1].split()[0]: "--teacher teacher_s1" in call for call in calls if "student_" in call}
    assert {name.split("student_")[1]: told for name, told in named.items() if not name.endswith("pruned")} == {
        "refs_s1": False, "refs_fine_tune_s1": False, "prune80_refs_s1": True, "prune91_refs_s1": True,
    }  # fmt: skip


def test_a_recipe_of_the_recipes_own(recipe):
    (recipe / "conf/students").mkdir()
    (recipe / "conf/students/mine.yaml").write_text(
        "# my own\nlabel: mine\nlearns_from: hypotheses\nselection: {select: wer, k: 3}\n"
    )
    _, calls = kd(recipe, "--students", "mine", "--stop_stage", "5")
    assert any("--out exp/teacher_s1/targets_mine --select wer --k 3" in call for call in calls)
    assert trained(calls) == ["exp/teacher_s1", "exp/student_mine_s1"]
    _, calls = kd(recipe, "--students", "conf/students/mine.yaml", "--stop_stage", "5")
    assert calls == []


def test_each_recipe_has_a_student_of_each_configuration(recipe):
    """Of the teacher's own network, pruned, there is one; what goes on from a student has that one's network."""
    (recipe / "conf/small_student.yaml").write_text("# small\n")
    (recipe / "conf/small_fine_tune.yaml").write_text("# less\n")
    configs = ["--student_configs", "conf/student.yaml conf/small_student.yaml"]
    configs += ["--fine_tune_configs", "conf/student.yaml conf/small_fine_tune.yaml"]
    words = ["--students", "word refs_fine_tune prune80_refs", *configs, "--decode_tags", "beam"]
    _, calls = kd(recipe, *words, "--stop_stage", "7", "--nj", "2")
    made = {}
    for call in calls:
        if call.startswith("train ") and "student_" in call:
            begins = call.split("--init ")[1].split()[0] if "--init" in call else ""
            config = call.split("--config ")[1].split()[0]
            made[call.split("--out exp/student_")[1].split()[0]] = config, begins, call.split("--label ")[1]
    assert made == {
        "refs_s1": ("conf/student.yaml", "", "student on references"),
        "small_refs_s1": ("conf/small_student.yaml", "", "small: student on references"),
        "word_s1": ("conf/student.yaml", "", "Word-KD"),
        "small_word_s1": ("conf/small_student.yaml", "", "small: Word-KD"),
        "refs_fine_tune_s1": ("conf/student.yaml", "exp/student_refs_s1", "references, fine-tuned"),
        "small_refs_fine_tune_s1": (
            "conf/small_fine_tune.yaml", "exp/student_small_refs_s1", "small: references, fine-tuned",
        ),
        "prune80_refs_s1": (
            "conf/teacher.yaml", "exp/student_prune80_refs_s1/pruned", "teacher pruned by 80 %, references",
        ),
    }  # fmt: skip
    assert sum(call.startswith("decode ") for call in calls) == 1 + len(made)
    assert sum(call.startswith("targets ") for call in calls) == 1
    _, calls = kd(recipe, *words, "--stop_stage", "7", "--early_students", "true", "--nj", "2")
    assert calls == []


def test_a_network_is_called_what_its_name_adds_to_the_teachers(recipe):
    """Runs of their own do not mix in one table."""
    (recipe / "conf/munim2018").mkdir()
    names = "mini_teacher mini_student mini_long_student minimal_student munim2018/teacher munim2018/student_mid"
    for name in names.split():
        (recipe / f"conf/{name}.yaml").write_text(f"# {name}\n")
    for teacher, student, label in (
        ("mini_teacher", "mini_student", "student on references"),
        ("mini_teacher", "mini_long_student", "long: student on references"),
        ("mini_teacher", "minimal_student", "minimal: student on references"),
        ("munim2018/teacher", "munim2018/student_mid", "mid: student on references"),
        ("munim2018/teacher", "mini_student", "mini: student on references"),
    ):
        words = ["--teacher_config", f"conf/{teacher}.yaml", "--student_configs", f"conf/{student}.yaml"]
        _, calls = kd(recipe, "--tag", label[:4], *words, "--students", "refs", "--stop_stage", "5")
        (trained,) = [call for call in calls if call.startswith("train ") and "--role student" in call]
        assert trained.split("--label ")[1] == label


def test_configurations_that_do_not_fit_are_refused(recipe):
    (recipe / "conf/small").mkdir()
    for name in ("small_student", "small/student"):
        (recipe / f"conf/{name}.yaml").write_text("# small\n")
    for words, said in (
        (["conf/student.yaml conf/small_student.yaml", "--fine_tune_configs", "conf/student.yaml"],
         "--fine_tune_configs conf/student.yaml: expected one for each of --student_configs"),
        (["conf/small/student.yaml conf/small_student.yaml"],
         "exp/student_small_refs_s1: two students would be written there"),
        (["conf/student.yaml conf/none.yaml"], "--student_configs conf/none.yaml: no such file; there are:"),
        ([" "], "--student_configs: expected the configuration"),
    ):  # fmt: skip
        output, _ = kd(recipe, "--students", "refs", "--student_configs", *words, "--stop_stage", "5", status=1)
        assert said in output and output.count("ERROR") == 1


def test_a_recipe_by_name_and_by_path_is_one(recipe):
    (recipe / "conf/students").mkdir()
    (recipe / "conf/students/mine.yaml").write_text("label: mine\nlearns_from: hypotheses\n")
    (recipe / "more.yaml").write_text("label: more\ntargets_of: conf/students/mine.yaml\nstarts_from: mine\n")
    _, calls = kd(recipe, "--students", "mine more.yaml conf/students/mine.yaml", "--stop_stage", "5", "--nj", "2")
    assert trained(calls) == ["exp/teacher_s1", "exp/student_mine_s1", "exp/student_more_s1"]
    assert sum(call.startswith("targets") for call in calls) == 1


def test_recipes_that_would_share_their_directories_are_refused(recipe):
    (recipe / "other").mkdir()
    (recipe / "other/refs.yaml").write_text("label: mine\nlearns_from: references\n")
    (recipe / "other/nbest.yaml").write_text("label: mine\nlearns_from: hypotheses\n")
    (recipe / "more.yaml").write_text("label: more\ntargets_of: other/nbest.yaml\n")
    for students, pair in (
        ("refs other/refs.yaml", f"other/refs.yaml and {UTILS}/students/refs.yaml"),
        ("nbest more.yaml", f"other/nbest.yaml and {UTILS}/students/nbest.yaml"),
    ):
        output, calls = kd(recipe, "--students", students, status=1)
        assert (
            f"{pair} are different student recipes and would share their directories; rename the file of one" in output
        )
        assert calls == []


def test_recipes_share_targets_that_are_made_once(recipe):
    """Also where the one that they are of is not asked for (inter); a file may name one of the recipe's own."""
    (recipe / "conf/students").mkdir()
    mine = "label: mine\nlearns_from: hypotheses\nselection: {select: wer}\ndistillation: {word_weight: 1}\n"
    (recipe / "conf/students/mine.yaml").write_text(mine)
    (recipe / "mine_fine_tune.yaml").write_text("label: mine, more\ntargets_of: mine\nstarts_from: mine\n")
    _, calls = kd(recipe, "--students", "mine_fine_tune.yaml prune50", "--stop_stage", "5", "--nj", "2")
    made = sorted(call.split("--out ")[1].split()[0] for call in calls if call.startswith("targets"))
    assert made == [f"exp/teacher_s1/targets_{name}" for name in ("inter", "mine", "seq_k1_b5")]
    soft = [call for call in calls if call.startswith("soft ")]
    assert sorted(call.split("--job ")[1] for call in soft[:2]) == ["1/2", "2/2"]
    assert len(soft) == 3 and soft[2].endswith(" --merge")
    learnt = {
        call.split("--out ")[1].split()[0]: call.split("--targets ")[1].split()[0].split("targets_")[1]
        for call in calls
        if call.startswith("train") and "--targets" in call
    }
    assert learnt == {
        "exp/student_mine_s1": "mine",
        "exp/student_mine_fine_tune_s1": "mine",
        "exp/student_seq_k1_b5_s1": "seq_k1_b5",
        "exp/student_prune50_seq_s1": "seq_k1_b5",
        "exp/student_prune50_s1": "inter",
    }
    tuned = next(call for call in calls if "--out exp/student_mine_fine_tune_s1" in call)
    assert "--kd word_weight=1" in tuned and "--label mine, more" in tuned


def test_every_recipe_is_one(recipe):
    names = sorted(path.stem for path in (UTILS / "students").glob("*.yaml"))
    _, calls = kd(recipe, "--transcribed", "0.5", "--students", " ".join(names), "--stop_stage", "5", "--nj", "4")
    students = {name for name in trained(calls) if "student" in name}
    assert students == {f"exp/student_{name}_s1" for name in names}
    labels = [
        call.split("--label ")[1]
        for call in calls
        if call.startswith("train") and "student" in call.split("--label")[0]
    ]
    assert len(set(labels)) == len(labels)  # the table tells them apart
