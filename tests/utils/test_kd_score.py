"""utils/kd.sh, lm.sh and frames.sh: what each step calls. A stand-in for `kdasr` records it."""

import pytest
from finished import KD_BASE
from stand_in import kd


def calls_of(run, *beginning):
    return [" ".join(call) for call in run.calls if call[: len(beginning)] == list(beginning)]


@pytest.fixture
def decoding(recipe):
    """A recipe with a finished teacher and nothing else."""
    kd(recipe, "--stop_stage", "3", "--students", "refs")
    (recipe / "exp/student_refs_s1").mkdir()
    (recipe / "exp/student_refs_s1/.done").touch()
    return recipe


def test_each_tag_has_its_search(decoding):
    """greedy: beam 1 without CTC; beam: that of --beam; beam20: of 20. In several jobs, and these put together."""
    words = ["--students", "refs", "--stage", "6", "--stop_stage", "6", "--beam", "7", "--ctc_weight", "0.2"]
    words += ["--decode_opts", "--x 'a b'", "--ppl", "true", "--test_sets", "test dev"]
    _, calls = kd(decoding, *words, "--decode_tags", "greedy beam20 beam", "--decode_nj", "2")
    for tag, search in (
        ("greedy", "--beam 1 --ctc_weight 0"),
        ("beam", "--beam 7 --ctc_weight 0.2"),
        ("beam20", "--beam 20 --ctc_weight 0.2"),
    ):
        for model in ("teacher_s1", "student_refs_s1"):
            for name in ("test", "dev"):
                out = f"exp/{model}/decode_{tag}/{name}"
                one = f"decode --model exp/{model} --data dump/fbank/{name} --out {out} {search}"
                mine = [call.removeprefix(f"{one} --x a b ") for call in calls if call.startswith(f"{one} ")]
                assert mine == ["--job 1/2", "--job 2/2", "--merge"]
    # perplexities once, whatever the tags are
    assert sorted(call for call in calls if call.startswith("ppl")) == [
        f"ppl --model exp/{model} --data dump/fbank/{name} --out exp/{model}/ppl/{name}.json"
        for model in ("student_refs_s1", "teacher_s1")
        for name in ("dev", "test")
    ]


def test_a_search_on_gpus_is_given_to_the_gpus_command(decoding):
    """All of decoding, its end included, goes through cuda_cmd with --gpu 1."""
    with (decoding / "cmd.sh").open("a") as stream:
        stream.write("decode_cmd=false\n")
    words = ["--students", "refs", "--stage", "6", "--stop_stage", "6", "--ppl", "true", "--gpu_inference", "true"]
    _, calls = kd(decoding, *words, "--decode_nj", "2", RUN="fake_gpu")
    assert len(calls) == 2 * (2 * 3 + 1) and all("--ngpu 1" in call for call in calls)


def test_scores_are_of_words_and_of_characters(kd_run):
    for type_ in ("wer", "cer"):
        out = "exp/student_mine_s132/decode_beam/test"
        assert (
            f"score --ref dump/fbank/test/text --hyp {out}/text --utt2spk dump/fbank/test/utt2spk"
            f" --dir {out}/score_{type_} --type {type_} --nlsyms conf/nlsyms.txt {KD_BASE['score_opts']}"
        ) in calls_of(kd_run, "score")


def test_language_models_of_a_recipe(kd_run):
    """Stage 8: text without what is tested, words, teachers, their distributions, students, perplexities."""
    lm = calls_of(kd_run, "lm")
    texts = [f"dump/lm/text/{name}.txt" for name in ("train", "valid", "test")]
    assert calls_of(kd_run, "data", "text") == [
        "data text --out dump/lm/text --sentences 146 --without dump/fbank/dev/text dump/fbank/test/text"
    ]
    tail = f"--words dump/lm/words --train {texts[0]} --valid {texts[1]} --out"
    teachers = "exp/lm/teacher_s151 exp/lm/teacher_s152"
    for call in (
        f"lm words --text {texts[0]} --size 147 --min_count 148 --out dump/lm/words",
        f"lm train --conf conf/lm_teacher.yaml {tail} exp/lm/teacher_s152"
        " --role teacher --label teacher --seed 152 --ngpu 0"
        " --set epochs=149",
        f"lm soft --teachers {teachers} --text {texts[0]} --kept 150 --out dump/lm/soft_150 --ngpu 0",
        f"lm train --conf conf/lm_student.yaml {tail} exp/lm/student_ce_s153"
        " --role student --label student, ce --seed 153 --ngpu 0"
        " --set objective=ce drop_input=0.48 epochs=149",
        f"lm train --conf conf/lm_student.yaml {tail} exp/lm/student_trust_s153"
        " --role student --label student, trust --seed 153"
        " --ngpu 0 --soft dump/lm/soft_150 --set objective=trust epochs=149",
        f"lm ppl --model {teachers} --text {texts[1]} {texts[2]} --out exp/lm/ensemble/ppl --ngpu 0",
        f"lm ppl --model exp/lm/student_ce_s153 --text {texts[1]} {texts[2]} --out exp/lm/student_ce_s153/ppl --ngpu 0",
    ):
        assert call in lm
    assert lm[-1].startswith("lm report --exp exp/lm --out exp/lm/RESULTS.md --command ")
    assert lm[-1].endswith(" --note a corpus --note a note")


def test_lists_are_ranked_anew(kd_run):
    """Stage 9: weights are tuned on the validation set, and used on the others."""
    lists, ranked = "exp/lm/first_pass/nbest_teacher", calls_of(kd_run, "rescore")
    assert len(ranked) == 2 * (1 + 1 + 4)
    for call in (
        f"rescore --nbest {lists}/test --out exp/lm/first_pass/rescore_teacher/test",
        f"rescore --nbest {lists}/dev --out exp/lm/ensemble/rescore_teacher/dev"
        " --lm lm=exp/lm/teacher_s151+exp/lm/teacher_s152 --tune dump/fbank/dev/text --nlsyms conf/nlsyms.txt"
        " --wsj_filter --grid lm=0:2:0.56",
        f"rescore --nbest {lists}/test --out exp/lm/student_ce_s153/rescore_teacher/test --lm lm=exp/lm/student_ce_s153"
        " --weights exp/lm/student_ce_s153/rescore_teacher/dev/weights.json",
    ):
        assert call in ranked
    assert (
        f"nbest --model exp/teacher_s31 --data dump/fbank/dev --out {lists}/dev --beam 155 --nbest 155"
        " --ctc_weight 0.37 --channel 163 --nbest_x 143 --merge"
    ) in calls_of(kd_run, "nbest")


def test_language_models_of_a_text(lm_run):
    """As egs/ptb has them: finetuned, from stored draws, evaluated dynamically one by one."""
    lm = calls_of(lm_run, "lm")
    tail = "--words dump/lm/words --train data/train.txt --valid data/valid.txt --out"
    assert (
        f"lm train --conf conf/lm_teacher.yaml {tail} exp/lm/teacher_s12_ft"
        " --role teacher --label teacher, finetuned --seed 12"
        " --ngpu 0 --init exp/lm/teacher_s12 --set rate=205 epochs=207"
    ) in lm
    assert (
        f"lm train --conf conf/lm_student.yaml {tail} exp/lm/student_trust_s14_ft"
        " --role student --label student, trust, finetuned"
        " --seed 14 --ngpu 0 --soft dump/lm/soft_209_draws --init exp/lm/student_trust_s14"
        " --set objective=trust rate=205 epochs=207"
    ) in lm
    soft = [call for call in lm if call.startswith("lm soft")]
    assert soft == [
        "lm soft --teachers exp/lm/teacher_s11_ft exp/lm/teacher_s12_ft --text data/train.txt --kept 209"
        " --out dump/lm/soft_209_draws --ngpu 0 --draws"
    ]
    dynamic = [
        call.split("--model ")[1].split(" --text")[0] for call in lm if call.endswith("--dynamic data/train.txt")
    ]
    models = ["teacher_s11", "teacher_s11_ft", "teacher_s12", "teacher_s12_ft"]
    models += [f"student_{name}_s14{more}" for name in ("ce", "trust") for more in ("", "_ft")]
    assert sorted(dynamic) == sorted(f"exp/lm/{name}" for name in models)  # the ensemble is none


def test_framewise_models(frames_run):
    frames = calls_of(frames_run, "frames")
    tail = "--data dump/frames/train --valid dump/frames/dev --conf conf/frames.yaml --out exp/frames"
    baselines = "exp/frames/baseline_s21 exp/frames/baseline_s22"
    soft = "exp/frames/ensemble/predict_train"
    first = "exp/frames/baseline_s21/predict_dev/decode/weights.json"
    for call in (
        "frames data --feats dump/frames/fbank/dev --alignment dump/frames/alignment/dev --out dump/frames/dev"
        " --like dump/frames/train",
        f"frames train {tail}/baseline_s22 --recipe baseline --baseline --label baseline --seed 22 --set drop=0.313",
        f"frames predict --models {baselines} --data dump/frames/train --out {soft}",
        f"frames train {tail}/long_s24 --recipe long --label baseline trained as long as distilled --seed 24"
        " --set epochs=305 drop=0.313",
        f"frames train {tail}/distilled_T74_s24 --recipe distilled --label distilled --seed 24 --soft {soft}"
        " --set epochs=305 temperature=74 drop=0.313",
        f"frames train {tail}/hard_s24 --recipe hard --label hard --seed 24 --share 0.03 --set epochs=307 drop=0.313",
        f"frames train {tail}/soft_s24 --recipe soft --label soft --seed 24 --share 0.03 --soft {soft}"
        " --set epochs=307 temperature=72 drop=0.313",
        "frames specialists --data dump/frames/train --test dump/frames/test --generalist exp/frames/baseline_s21"
        " --groups 309 --out exp/frames/specialists_s21 --epochs 311",
        "frames decode --predictions exp/frames/baseline_s21/predict_dev --data dump/frames/dev"
        " --train dump/frames/train --out exp/frames/baseline_s21/predict_dev/decode --tune data/dev/text",
        "frames decode --predictions exp/frames/ensemble/predict_test --data dump/frames/test"
        f" --train dump/frames/train --out exp/frames/ensemble/predict_test/decode --weights {first}",
    ):
        assert call in frames
    assert sum(call.startswith("frames predict") for call in frames) == 1 + 2 * 8  # no set twice


def test_classifiers_of_images(images_run):
    images = calls_of(images_run, "images")
    tail = "--data data/images/images.npz --conf conf/student.yaml --out exp/images"
    taught = "--role student --label student --seed 31 --teachers exp/images/teacher_s31"
    for call in (
        "images data --out data/images/images.npz --held_out 401 --mnist data/files",
        f"images train {tail}/hard_7_s31 --role student --label student --seed 31 --set epochs=407 hidden=7",
        f"images train {tail}/soft_41_T72_s31 {taught} --set epochs=407 hidden=41 temperature=72",
        f"images train {tail}/without_3_s31 {taught} --without 3 --set epochs=407 hidden=41 temperature=72",
        f"images train {tail}/only_7_8_s31 {taught} --only 7 8 --set epochs=407 hidden=41 temperature=72 epochs=409",
        "images specialists --data data/images/images.npz --generalist exp/images/hard_7_s31 --groups 403"
        " --out exp/images/specialists_s31 --seed 31 --batch 411",
    ):
        assert call in images
    assert len(images) == 1 + 1 + 2 * 3 + 2 + 1 + 1
