"""Recipes whose scripts have run once, with a stand-in for `kdasr` and a value of its own for every option."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from stand_in import UTILS, lay_out, script

KD_BASE = {
    "seed": "31", "seeds": "132", "early_students": "false", "data_opts": "--hours 0.25", "transcribed": "0.5",
    "split_seed": "133", "speed": "0.9,1.0", "min_duration": "0.05", "audio_opts": "--channel 163", "cmvn": "speaker",
    "token_type": "bpe", "vocab": "301", "nlsyms": "conf/nlsyms.txt", "students": "mine less crossfit refs_fine_tune",
    "train_opts": "--max_epoch 141",
    "target_opts": "--max_wer 142", "nbest": "161", "beam": "171", "ctc_weight": "0.37", "nbest_opts": "--nbest_x 143",
    "decode_opts": "--decode_x 144", "score_opts": "--wsj_filter --score_x 145", "ppl": "true", "lm": "true",
    "lm_text_opts": "--sentences 146", "lm_vocab": "147", "lm_min_count": "148", "lm_teacher_seeds": "151 152",
    "lm_seeds": "153", "lm_objectives": "ce trust", "lm_ce_opts": "drop_input=0.48", "lm_opts": "epochs=149",
    "lm_stored": "150", "rescore_beam": "155", "rescore_opts": "--grid lm=0:2:0.56",
    "export_opts": "--licence 158", "figures": "figures.jsonl",
    "note": "a note", "corpus_note": "a corpus",
}  # fmt: skip
MINE = {
    "label": "mine",
    "learns_from": "pseudo_labels",
    "selection": {"select": "best", "k": 157},
    "distillation": {"word_weight": 0.58, "ctc_word_weight": 0.59},
    "kept": 160,
    "teachers": 2,
    "starts_from": "refs",
    "prune": {"sparsity": 0.62},
}
LESS = {"label": "less", "learns_from": "references", "starts_from": "refs", "shrink": {"params": 168, "by": "layers"}}
LM_BASE = {
    "train": "data/train.txt", "valid": "data/valid.txt", "tests": "data/test.txt", "vocab": "201", "min_count": "203",
    "finetune": "rate=205", "teacher_seeds": "11 12", "seeds": "14", "objectives": "ce trust",
    "ce_opts": "drop_input=0.48", "lm_opts": "epochs=207", "stored": "209", "draws": "true", "dynamic": "true",
    "note": "a note",
}  # fmt: skip
FRAMES_BASE = {
    "bins": "301", "speed": "0.9,1.0", "frames_opts": "--reach 303", "baseline_seeds": "21 22", "temperatures": "72 74",
    "main": "72", "distil_opts": "epochs=305", "seeds": "24", "share": "0.03", "few_opts": "epochs=307",
    "groups": "309", "specialist_opts": "--epochs 311", "model_opts": "drop=0.313", "score_opts": "--score_x 315",
    "nlsyms": "conf/nlsyms.txt", "note": "a note", "aligner": "exp/aligner",
}  # fmt: skip
IMAGES_BASE = {
    "mnist": "data/files", "held_out": "401", "seeds": "31", "sweep_seeds": "31", "widths": "41 7",
    "temperatures": "71 72", "omitted": "3", "kept": "7 8", "groups": "403", "teacher_opts": "epochs=405",
    "student_opts": "epochs=407", "kept_opts": "epochs=409", "specialist_opts": "--batch 411", "datadir": "data/images",
    "expdir": "exp/images",
}  # fmt: skip


class Run(NamedTuple):
    """A recipe in which a script has run to its end."""

    place: Path
    program: Path
    base: dict[str, str]
    calls: list[list[str]]

    def again(self, changed=(), **environment):
        """The script with some options changed: status, output, calls."""
        options = {**self.base, **dict(changed)}
        words = [word for name in options for word in (f"--{name}", options[name])]
        return script(self.place, self.program, *words, **environment)

    def only(self, stage, changed=(), **environment):
        return self.again({**dict(changed), "stage": stage, "stop_stage": stage}, **environment)


def write(place, *names):
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"# {name}\n")


def begun(place, program, base):
    run = Run(place, program, base, [])
    status, output, calls = run.again()
    assert status == 0, output
    return run._replace(calls=calls)


@pytest.fixture(scope="session")
def kd_run(tmp_path_factory):
    place = lay_out(tmp_path_factory.mktemp("kd"))
    write(place, "conf/nlsyms.txt", "conf/more_nlsyms.txt", "conf/more_teacher.yaml", "conf/more_student.yaml")
    write(place, "conf/lm_teacher.yaml", "conf/lm_student.yaml", "conf/more_lm.yaml", "conf/less_lm.yaml")
    write(place, "model/valid.acc.ave.pth")
    (place / "model/config.yaml").write_text(
        "{input_size: 80, token_type: char, token_list: [<blank>, <unk>, A, <sos/eos>]}\n"
    )
    student_recipe(place, MINE)
    student_recipe(place, LESS, "less")
    run = begun(place, UTILS / "kd.sh", KD_BASE)
    shutil.copytree(place / "data", place / "data2")
    shutil.copytree(place / "data/train", place / "data/more")
    return run


@pytest.fixture(scope="session")
def lm_run(tmp_path_factory):
    place = lay_out(tmp_path_factory.mktemp("lm"))
    write(place, "conf/lm_teacher.yaml", "conf/lm_student.yaml", "conf/more_lm.yaml", "conf/less_lm.yaml")
    write(place, *(f"data/{more}{name}.txt" for more in ("", "more_") for name in ("train", "valid", "test")))
    return begun(place, UTILS / "lm.sh", LM_BASE)


@pytest.fixture(scope="session")
def frames_run(tmp_path_factory):
    place = lay_out(tmp_path_factory.mktemp("frames"))
    write(place, "conf/nlsyms.txt", "conf/more_nlsyms.txt", "conf/frames.yaml", "conf/more_frames.yaml")
    for data in ("data", "data2"):
        for name in ("train", "dev", "test", "more"):
            write(place, *(f"{data}/{name}/{table}" for table in ("wav.scp", "text", "utt2spk", "segments")))
    write(place, *(f"exp/teacher_s{seed}/{name}" for seed in (1, 2) for name in ("config.yaml", ".done")))
    write(place, "exp/aligner/config.yaml")  # somebody else's model
    return begun(place, UTILS / "frames.sh", FRAMES_BASE)


@pytest.fixture(scope="session")
def images_run(tmp_path_factory):
    top = tmp_path_factory.mktemp("images")
    place = top / "egs/mnist"
    place.mkdir(parents=True)
    lay_out(place)
    (top / "utils").symlink_to(UTILS)
    shutil.copy(UTILS.parent / "egs/mnist/run.sh", place)
    for name in ("images.sh", "plan.py"):
        shutil.copy(UTILS.parent / "egs/mnist/local" / name, place / "local")
    for name in ("data", "train", "specialists", "report"):  # the stand-in for kdasr writes what they write
        program = f"import os, sys\nos.execvp('kdasr', ['kdasr', 'images', '{name}', *sys.argv[1:]])\n"
        (place / f"local/images_{name}.py").write_text(program)
    for name in ("digits", "mnist", "mnist_quick"):
        shutil.copy(UTILS.parent / f"egs/mnist/conf/{name}.conf", place / "conf")
    return begun(place, place / "run.sh", IMAGES_BASE)


def student_recipe(place, settings, name="mine"):
    (place / "conf/students").mkdir(exist_ok=True)
    given = {name: value for name, value in settings.items() if value}
    (place / f"conf/students/{name}.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
