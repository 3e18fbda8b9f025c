"""utils/kd.sh: which stages run, what is skipped, what stops it. A stand-in for `kdasr` records its calls.

The commands themselves, run by the same script, are tested in tests/recipes.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from stand_in import UTILS, commands, kd


def test_a_whole_run_calls_each_command_and_a_second_run_none(recipe):
    output, calls = kd(recipe, "--transcribed", "0.5")
    assert sorted(set(commands(calls))) == [
        "data holdout", "decode", "export", "feats", "local/data.sh", "nbest", "report", "score", "targets", "tokens",
        "train",
    ]  # fmt: skip
    names = [word for call in calls if call.startswith("train ") for word in call.split() if word.startswith("exp/")]
    assert names[0] == "exp/teacher_s1"
    assert sorted(set(names) - {"exp/teacher_s1"}) == [
        "exp/student_nbest_s1", "exp/student_oracle_s1", "exp/student_pseudo_s1", "exp/student_refs_s1",
        "exp/teacher_s1/targets_nbest", "exp/teacher_s1/targets_pseudo",
    ]  # fmt: skip
    assert commands(calls).count("decode") == 5 * 2  # models, tags, one set
    assert commands(calls).count("score") == 5 * 2 * 2
    assert "| the table |" in output
    output, calls = kd(recipe, "--transcribed", "0.5")
    assert calls == []
    assert output.count(": done already") == 1 + 4 + 2 + 2 + (2 + 4) + 1 + 1  # of stages 1 to 5 and 10, 11
    assert "10 of 10 were done already" in output and "20 of 20 were done already" in output
    assert "| the table |" in output


def test_the_commands_get_what_the_brief_says(recipe):
    _, calls = kd(recipe, "--transcribed", "0.4", "--nbest", "4", "--beam", "6", "--ctc_weight", "0.2", "--nj", "2")
    lab, unlab = "dump/fbank/train_lab0.4", "dump/fbank/train_unlab0.4"
    search = "--beam 6 --nbest 4 --ctc_weight 0.2"
    teacher, refs, nbest = "exp/teacher_s1", "exp/student_refs_s1", "exp/student_nbest_s1"
    pseudo, oracle = "exp/student_pseudo_s1", "exp/student_oracle_s1"
    tail = "--valid dump/fbank/dev --tokens dump/tokens/char --out"
    for call in (
        "feats --data data/train --out dump/fbank/train --cmvn global --job 2/2",
        "feats --data data/test --out dump/fbank/test --cmvn global --merge",
        f"data holdout --transcribed 0.4 --seed 1 dump/fbank/train --labelled {lab} --unlabelled {unlab}",
        f"tokens --text {lab}/text --out dump/tokens/char --type char --check dump/fbank/dev/text dump/fbank/test/text",
        f"train --config conf/teacher.yaml --train {lab} {tail} {teacher}"
        " --seed 1 --ngpu 0 --role teacher --label teacher",
        f"nbest --model {teacher} --data {unlab} --out {teacher}/nbest_train_unlab0.4 {search} --job 1/2",
        f"nbest --model {teacher} --data {lab} --out {teacher}/nbest_train_lab0.4 {search} --merge",
        f"targets --nbest {teacher}/nbest_train_lab0.4 --against {lab}/text --tokens dump/tokens/char"
        f" --out {teacher}/targets_nbest --select posterior",
        f"targets --nbest {teacher}/nbest_train_unlab0.4 --refs {lab}/text --tokens dump/tokens/char"
        f" --out {teacher}/targets_pseudo --select posterior",
        f"train --config conf/student.yaml --train {lab} {tail} {refs}"
        " --seed 1 --ngpu 0 --role student --recipe refs --learned_from references --baseline"
        " --label student on references",
        f"train --config conf/student.yaml --train {lab} {tail} {nbest} --targets {teacher}/targets_nbest"
        " --teacher teacher_s1 --seed 1 --ngpu 0 --role student --recipe nbest"
        " --learned_from hypotheses --label student on teacher N-best",
        f"train --config conf/student.yaml --train dump/fbank/train {tail} {pseudo} --targets {teacher}/targets_pseudo"
        " --teacher teacher_s1 --seed 1 --ngpu 0 --role student"
        " --recipe pseudo --learned_from pseudo_labels --label student on references and pseudo-labels",
        f"train --config conf/student.yaml --train dump/fbank/train {tail} {oracle}"
        " --seed 1 --ngpu 0 --role student --recipe oracle --learned_from all_references --oracle"
        " --label oracle, references of all audio",
        f"decode --model {teacher} --data dump/fbank/test --out {teacher}/decode_greedy/test"
        " --beam 1 --ctc_weight 0 --nj 1",
        f"decode --model {refs} --data dump/fbank/test --out {refs}/decode_beam/test --beam 6 --ctc_weight 0.2 --nj 1",
        f"score --ref dump/fbank/test/text --hyp {teacher}/decode_beam/test/text --utt2spk dump/fbank/test/utt2spk"
        f" --dir {teacher}/decode_beam/test/score_cer --type cer",
    ):
        assert call in calls


@pytest.mark.parametrize("first, last", [("2", "3"), ("feats", "teacher"), ("2", "teacher")])
def test_stages_by_number_and_by_name(recipe, first, last):
    kd(recipe, "--stop_stage", "data")
    output, calls = kd(recipe, "--stage", first, "--stop-stage", last)
    assert set(commands(calls)) == {"feats", "tokens", "train"}
    feats = "features of the audio; part of it is set aside as not transcribed"
    assert f"stage 2 (feats), {feats}: reads data, writes dump/fbank" in output


ODD = {  # student recipes with something wrong in them
    "": "label: x\nlearn_from: references",
    "2": "label: x\nlearns_from: reference",
    "3": "label: x\nlearns_from: references\nprune: {sparsity: 0.5}",
    "4": "label: x\nlearns_from: references\nstarts_from: nobody",
    "5": "label: x\nlearns_from: references\nteachers: 2",
    "6": "label: x\nlearns_from: references\nstarts_from: refs\nprune: {sparsty: 0.5}",
    "7": "label: x\nlearns_from: references\nconfig: mine",
    "8": "label: x\nlearns_from: references\nconfig: teacher",
    "9": "label: x\ntargets_of: word\ndistillation: {word_weight: 1}",
    "10": "label: x\ntargets_of: prune80",
    "11": "label: x\nlearns_from: references\nstarts_from: pseudo",
    "12": "label: x\nlearns_from: references\nbeam: wide",
    "13": "learns_from: references",
    "14": "label: x\nlearns_from: references\nstarts_from: odd14.yaml",
}


@pytest.mark.parametrize(
    "words, said",
    [
        (["--stage", "3"], "dump/fbank/train: missing; run stage 2 (feats) first: ./run.sh --stage 2"),
        (["--stage", "nbest"], "dump/fbank/train: missing; run stage 2 (feats) first"),
        (["--stage", "report"], "exp: no scores; run stage 7 (score) first"),
        (["--stage", "2"], "data/train/wav.scp: missing; run stage 1 (data) first"),
        (["--stage", "12"], "--stage 12: no such stage; expected 1 to 11 or one of: data feats teacher"),
        (["--stage", "5", "--stop_stage", "decod"], "--stop_stage decod: no such stage"),
        (["--stage", "5", "--stop_stage", "4"], "the last stage comes before the first"),
        (["--nj", "0"], "--nj 0: expected a whole number, 1 or more"),
        (["--transcribed", "0"], "--transcribed 0: expected a share"),
        (["--transcribed", "1.5"], "--transcribed 1.5: expected a share"),
        (
            ["--students", "refs best"],
            "--students best: no such student recipe; did you mean nbest? there are all_three",
        ),
        (["--folds", "1"], "--folds 1: expected a whole number, 2 or more"),
        (["--students", "odd.yaml"], "odd.yaml: no setting 'learn_from'; did you mean learns_from?"),
        (["--students", "odd2.yaml"], "odd2.yaml: learns_from: 'reference': did you mean references?"),
        (["--students", "odd3.yaml"], "odd3.yaml: prune: expected starts_from, the recipe whose student is pruned"),
        (["--students", "odd4.yaml"], "odd4.yaml: starts_from nobody: no such student recipe"),
        (["--students", "odd5.yaml", "--teacher_dir", "m"], "odd5.yaml: teachers 2: --teacher_dir names one"),
        (["--students", "odd6.yaml"], "odd6.yaml: prune: no setting 'sparsty'; did you mean sparsity?"),
        (["--students", "odd7.yaml"], "odd7.yaml: config: 'mine': expected one of student, fine_tune, teacher"),
        (["--students", "odd8.yaml", "--teacher_dir", "m"], "odd8.yaml: config teacher: --teacher_dir's network"),
        (["--students", "odd9.yaml"], "odd9.yaml: distillation: with targets_of word that recipe sets it"),
        (
            ["--students", "odd10.yaml"],
            "odd10.yaml: targets_of prune80: it has the targets of another recipe; name that one",
        ),
        (
            ["--students", "odd11.yaml"],
            "pseudo.yaml: learns_from pseudo_labels: all audio is transcribed; with --transcr",
        ),
        (["--students", "odd12.yaml"], "odd12.yaml: beam: 'wide', expected a whole number"),
        (["--students", "odd13.yaml"], "odd13.yaml: label: is missing"),
        (["--students", "odd14.yaml"], "odd14.yaml: starts_from odd14.yaml: starts from itself in the end"),
        (["--students", "old.conf"], "old.conf: student recipes are YAML now"),
        (["--students", "oracle"], "--students oracle: all audio is transcribed; with --transcribed 0.5"),
        (["--decode_tags", "greedy viterbi"], "--decode_tags viterbi: expected some of"),
        (["--students", "refs extra_soft"], "--students: extra_soft was renamed: pseudo_soft"),
        (["--tune_configs", "x.yaml"], "--tune_configs was renamed: fine_tune_configs"),
        (["--config", "old.conf"], "--config old.conf: tune_configs was renamed: fine_tune_configs"),
        (["--nbset", "3"], "--nbset: no such option (did you mean --nbest?)"),
        (["--train_opts", "--x 'y"], "--train_opts --x 'y: a quote is not closed"),
        (["pseudo"], "pseudo: options begin with --"),
        (["--teacher_config", "t.yaml"], "t.yaml: no such file; there are: conf/student.yaml conf/teacher.yaml"),
        (["--teacher_dir", "nowhere"], "--teacher_dir nowhere: no config.yaml there"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(recipe, words, said):
    for name, text in ODD.items():
        (recipe / f"odd{name}.yaml").write_text(f"# a student recipe\n{text}\n")
    (recipe / "old.conf").write_text('label="x"\nlearn=refs\ntune_configs=x.yaml\n')
    output, _ = kd(recipe, *words, status=1)
    assert said in output
    assert output.count("ERROR") <= 1


def test_lm_stages_run_only_when_asked_for(recipe):
    output, _ = kd(recipe)
    assert "rescore" not in output
    for words in (["--stage", "lm", "--stop_stage", "rescore"], ["--stop_stage", "8"], ["--lm", "true"]):
        output, calls = kd(recipe, *words, status=1)
        assert "stage 8 (lm), language models, large and small: reads" in output and calls == []
        assert "--lm_teacher_config conf/lm_teacher.yaml: no such file" in output
    output, _ = kd(recipe, "--stage", "9", status=1)
    assert "exp/lm/teacher_s1: missing; run stage 8 (lm) first: ./run.sh --stage 8" in output


def test_with_all_audio_transcribed_pseudo_and_oracle_are_left_out(recipe):
    output, calls = kd(recipe)
    work = "\n".join(call for call in calls if not call.startswith("report"))  # which is told the whole command
    assert "oracle" not in work and "pseudo" not in work and "holdout" not in work
    assert "without pseudo, oracle: there is no audio for what they learn from" in output
    nbest = [call for call in calls if call.startswith("targets")]
    assert [call.split(" --tokens")[0] for call in nbest] == [
        "targets --nbest exp/teacher_s1/nbest_train --against dump/fbank/train/text"
    ]
    assert not any("oracle" in path.name for path in (recipe / "exp").iterdir())


def test_changed_settings_and_inputs_are_named(finished_recipe):
    recipe = finished_recipe
    output, calls = kd(recipe, "--beam", "7", status=1)
    assert "exp/teacher_s1/nbest_train: made with other settings or inputs (beam was '5', now '7')" in output
    assert "rm -r exp/teacher_s1/nbest_train" in output and calls == []
    (recipe / "conf/teacher.yaml").write_text("# another\n")
    output, _ = kd(recipe, status=1)
    assert "exp/teacher_s1: made with other settings or inputs (conf/teacher.yaml has changed)" in output
    (recipe / "conf/teacher.yaml").write_text("# teacher\n")
    (recipe / "data/test/text").write_text("u b\n")
    output, _ = kd(recipe, status=1)
    assert "dump/fbank/test: made with other settings or inputs (data/test/text has changed)" in output
    output, _ = kd(recipe, "--stage", "1", "--stop_stage", "1", "--data_opts", "--hours 3", status=1)
    assert "data: made with other settings or inputs (data_opts was '', now '--hours 3')" in output


def test_redoing_a_step_does_what_depends_on_it_only(finished_recipe):
    recipe = finished_recipe
    (recipe / "exp/student_refs_s1/.done").unlink()
    _, calls = kd(recipe)
    assert commands(calls) == ["train"]  # the same settings and inputs: what was made of it still holds
    subprocess.run(["rm", "-r", recipe / "exp/student_refs_s1"], check=True)
    _, calls = kd(recipe)
    assert sorted(commands(calls)) == ["decode"] * 2 + ["score"] * 4 + ["train"]


def test_an_empty_done_file_takes_a_directory_as_it_is(recipe):
    kd(recipe, "--stop_stage", "3")
    teacher = recipe / "exp/teacher_s1"
    (teacher / ".done").write_text("")
    output, calls = kd(recipe, "--stop_stage", "3", "--train_opts", "--max_epoch 3")
    assert calls == [] and "exp/teacher_s1: done already" in output


def test_more_seeds_add_students_only(finished_recipe):
    recipe = finished_recipe
    _, calls = kd(recipe, "--seeds", "1 2", "--nj", "4")
    trained = [call.split("--out ")[1].split()[0] for call in calls if call.startswith("train")]
    assert sorted(trained) == ["exp/student_nbest_s2", "exp/student_refs_s2"]
    assert set(commands(calls)) == {"train", "decode", "score", "report"}  # seeds share their targets


def test_a_failing_student_does_not_stop_the_others_and_its_log_is_shown(recipe):
    kd(recipe, "--transcribed", ".5", "--stop_stage", "4")
    output, _ = kd(recipe, "--transcribed", ".5", status=1, FAIL="train exp/student_refs_s1", RUN="run.py")
    assert "run.py: job failed, log is in exp/student_refs_s1/log/train.log" in output and "no such luck" in output
    assert "ERROR: stopped in stage 5 (student), status 1" in output
    done = {path.parent.name for path in (recipe / "exp").glob("student*/.done")}
    assert "student_refs_s1" not in done and done
    _, calls = kd(recipe, "--transcribed", ".5", "--stop_stage", "5")
    assert sum("exp/student_refs_s1 " in call for call in calls if call.startswith("train")) == 1
    assert not any("exp/teacher_s1 " in call for call in calls if call.startswith("train"))


def test_students_without_a_teacher_are_trained_beside_it(recipe):
    options = ["--early_students", "true", "--transcribed", ".5", "--stop_stage", "5"]
    _, calls = kd(recipe, *options)
    trained = [call.split("--out ")[1].split()[0] for call in calls if call.startswith("train")]
    students = [f"exp/student_{kind}_s1" for kind in ("nbest", "oracle", "pseudo", "refs")]
    assert sorted(trained) == [*students, "exp/teacher_s1"]
    assert "exp/student_refs_s1" in trained[:2]
    # its failure is shown, the teacher's work goes on, and it is trained in its stage
    subprocess.run(["rm", "-r", recipe / "exp"], check=True)
    output, _ = kd(recipe, *options, status=1, FAIL="train exp/student_refs_s1", RUN="run.py")
    assert "no such luck" in output
    assert (recipe / "exp/teacher_s1/nbest_train_lab.5/.done").exists()
    _, calls = kd(recipe, *options)
    trained = [call.split("--out ")[1].split()[0] for call in calls if call.startswith("train")]
    assert "exp/student_refs_s1" in trained and "exp/teacher_s1" not in trained


MODEL = "{input_size: 80, token_type: char, token_list: [<blank>, <unk>, A, <sos/eos>]}\n"


def test_a_finished_model_as_the_teacher(recipe):
    model = recipe / "models/asr_big"
    model.mkdir(parents=True)
    (model / "config.yaml").write_text(MODEL)
    (model / "valid.acc.ave.pth").write_text("weights")
    _, calls = kd(recipe, "--teacher_dir", "models/asr_big/", "--students", "nbest")
    assert not any(call.startswith("train") and "teacher.yaml" in call for call in calls)
    assert (recipe / "exp/teacher_asr_big/valid.acc.ave.pth").read_text() == "weights"
    assert any(call.startswith("nbest --model exp/teacher_asr_big ") for call in calls)
    assert sorted(path.name for path in model.iterdir()) == ["config.yaml", "valid.acc.ave.pth"]


def test_students_of_a_finished_model_speak_its_tokens(recipe):
    model = recipe / "m"
    model.mkdir()
    (model / "config.yaml").write_text(MODEL)
    (model / "valid.acc.ave.pth").write_text("weights")
    _, calls = kd(recipe, "--teacher_dir", "m", "--students", "nbest", "--stop_stage", "5")
    made = [call for call in calls if call.startswith("tokens")]
    assert len(made) == 1 and made[0].startswith("tokens --model m --out dump/tokens/of_m ")
    assert all("--tokens dump/tokens/of_m " in call for call in calls if call.startswith(("targets", "train")))


def test_search_on_gpus(recipe):
    _, calls = kd(recipe, "--gpu_inference", "true", "--stop_stage", "4", RUN="fake_gpu")
    assert calls[-1].endswith("--ctc_weight 0.3 --ngpu 1 --merge")


def test_options_reach_the_commands_word_for_word(recipe):
    data = r"--dir /a\ b/$HOME '' \`id\` --wsj1 ''"
    _, calls = kd(recipe, "--data_opts", data, "--train_opts", "--max_epoch 3", "--stop_stage", "3")
    assert calls[0] == "local/data.sh <--datadir> <data> <--nj> <2> <--dir> </a b/$HOME> <> <`id`> <--wsj1> <>"
    assert calls[-1].endswith("--label teacher -- --max_epoch 3")


def test_without_corpus_options_the_data_there_is_taken(recipe):
    kd(recipe, "--stop_stage", "1", "--data_opts", "--an4 /somewhere")
    output, calls = kd(recipe, "--stop_stage", "1")
    assert calls == [] and "data: done already" in output


def start(recipe, *words, **environment):
    return subprocess.Popen(
        # A shell that was started with interrupts ignored, as behind nohup, could not trap them.
        [UTILS / "kd.sh", *words], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), cwd=recipe,
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for(recipe, text):
    for _ in range(12000):
        calls = recipe / "calls.txt"
        if calls.exists() and text in calls.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"{text!r} was never called")


def sleepers(recipe):
    """The stand-ins of this recipe that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(recipe / "bin/kdasr").encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


@pytest.mark.parametrize(
    "number, slow",
    [
        (signal.SIGTERM, "train exp/teacher_s1"),
        (signal.SIGINT, "train exp/teacher_s1"),
        (signal.SIGKILL, "train exp/teacher_s1"),
        (signal.SIGTERM, "train exp/student_refs_s1"),
        (signal.SIGKILL, "train exp/student_refs_s1"),
    ],
)
def test_stopped_in_the_middle_it_leaves_no_process_and_goes_on(recipe, number, slow):
    less = ["--students", "refs", "--decode_tags", "greedy"]
    kd(recipe, "--stop_stage", "2")
    process = start(recipe, *less, SLOW=slow, RUN="run.py")
    wait_for(recipe, slow.split()[1] + " --seed")
    os.kill(process.pid, number)
    process.wait(timeout=600)
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number]
    _, calls = kd(recipe, *less)  # at once: it waits for what is left of the killed run
    assert sleepers(recipe) == []
    assert commands(calls)[-2:] == ["report", "export"]
    assert any(slow.split()[1] in call for call in calls if call.startswith("train"))
    assert ("feats" in commands(calls)) is False


def test_two_runs_in_one_directory(recipe):
    kd(recipe, "--stop_stage", "2")
    first = start(recipe, SLOW="train exp/teacher_s1", RUN="run.py")
    wait_for(recipe, "exp/teacher_s1")
    output, _ = kd(recipe, status=1)
    assert f"exp: another run works here (process {first.pid} on " in output
    first.terminate()
    first.wait(timeout=600)
    kd(recipe, "--stop_stage", "2")


def test_no_recipe_directory_and_no_program(recipe, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("x")
    done = subprocess.run([UTILS / "kd.sh"], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 1 and "path.sh: not found in" in done.stderr
    (recipe / "cmd.sh").write_text("train_cmd=slurm.pl decode_cmd=run.py cuda_cmd=run.py\n")
    output, _ = kd(recipe, status=1)
    assert "slurm.pl: no such command; cmd.sh has to set" in output


def test_spectrograms_have_their_own_place_and_filterbanks_their_old_stamps(recipe):
    kd(recipe, "--stop_stage", "3")
    assert "feats_type" not in (recipe / "dump/fbank/train/.done").read_text()
    (recipe / "conf/munim2018").mkdir()
    for name in ("teacher", "student_mid"):
        (recipe / f"conf/munim2018/{name}.yaml").write_text(f"# {name}\n")
    options = ["--feats_type", "spectrogram", "--students", "refs", "--stop_stage", "5"]
    options += ["--teacher_config", "conf/munim2018/teacher.yaml"]
    options += ["--student_configs", "conf/munim2018/student_mid.yaml"]
    _, calls = kd(recipe, *options)
    assert "feats --data data/dev --out dump/spectrogram/dev --cmvn global --type spectrogram --merge" in calls
    assert "feats_type=spectrogram" in (recipe / "dump/spectrogram/dev/.done").read_text().splitlines()
    tail = "--train dump/spectrogram/train --valid dump/spectrogram/dev --tokens dump/tokens/char_spectrogram --out"
    for name, out in (("teacher", "teacher_munim2018_s1"), ("student_mid", "student_munim2018_mid_refs_s1")):
        assert any(f"--config conf/munim2018/{name}.yaml {tail} exp/{out} " in call for call in calls), calls
    output, calls = kd(recipe, "--stop_stage", "3")
    assert calls == [] and "exp/teacher_s1: done already" in output
    output, _ = kd(recipe, "--feats_type", "mfcc", status=1)
    assert "--feats_type mfcc: expected fbank or spectrogram" in output
