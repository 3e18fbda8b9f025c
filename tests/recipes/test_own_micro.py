"""egs/own on minutes of speech in somebody's data directories, half of it without transcripts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from micro import OPTIONS, copy_of_recipe, finish, run

from kdasr.data.audio import read_audio
from kdasr.data.subset import write_listed
from kdasr.files import read_json, read_table, read_yaml

pytestmark = pytest.mark.recipe
# Settings of a model in which names of sets and directories are.
PATHS = {
    "config", "log_level", "output_dir", "token_list", "non_linguistic_symbols", "train_data_path_and_name_and_type",
    "train_shape_file", "valid_data_path_and_name_and_type", "valid_shape_file", "normalize_conf", "kd_conf",
}  # fmt: skip
TINY = [*OPTIONS[OPTIONS.index("--teacher_config") : OPTIONS.index("--students")], "--beam", "2", "--nbest", "2"]


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The recipe, and the directories: train (transcribed), calls (not), dev, test."""
    top = tmp_path_factory.mktemp("own")
    wsj = copy_of_recipe(top)
    finish(run(wsj, "--stop_stage", "data"))
    keys = sorted(read_table(wsj / "data/train_si284/utt2spk"))
    write_listed(wsj / "data/train_si284", top / "mine/train", keys[::2])
    write_listed(wsj / "data/train_si284", top / "mine/calls", keys[1::2])
    (top / "mine/calls/text").unlink()
    for name, source in (("dev", "test_dev93"), ("test", "test_eval92")):
        write_listed(wsj / "data" / source, top / "mine" / name, read_table(wsj / "data" / source / "utt2spk"))
    return copy_of_recipe(top, "own"), top / "mine"


def own(recipe, cwd, *options, tiny=TINY):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [str(recipe / "run.sh"), *options, *tiny], cwd=cwd, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, "PATH": path},
    )  # fmt: skip


def test_own_directories_to_the_table(place):
    """The teacher labels what nobody has transcribed; nothing is written where the lists are."""
    recipe, mine = place
    before = contents(mine)
    given = ["--train", "mine/train", "--valid", "mine/dev", "--test", "mine/test", "--unlabelled", "mine/calls"]
    finish(own(recipe, mine.parent, *given))
    assert contents(mine) == before
    table = (recipe / "exp/RESULTS.md").read_text()
    for label in ("teacher", "student on references", "pseudo-labels + Word-KD, CTC frames too"):
        assert f"|{label}|" in table
    student = read_json(recipe / "exp/student_tiny_pseudo_soft_s1/kdasr.json")
    assert (student["recipe"], student["learned_from"]) == ("pseudo_soft", "pseudo_labels")
    targets = read_table(recipe / "exp/teacher_tiny_s1/targets_pseudo_soft/text")
    theirs, ours = (read_table(mine / name / "utt2spk").keys() for name in ("train", "calls"))
    assert targets.keys() & theirs and targets.keys() <= theirs | ours
    assert "wsj" not in table.lower() and "synthetic" not in table.lower()


def test_a_second_run_needs_no_directories(place):
    recipe, _ = place
    output = finish(own(recipe, "/"))
    assert "training (" not in output and "decoding" not in output and "finished" in output


def test_an_overlap_is_refused(place):
    recipe, mine = place
    given = ["--train", "mine/train", "--valid", "mine/dev", "--test", "mine/test", "--unlabelled", "mine/test"]
    process = own(recipe, mine.parent, *given, "--datadir", "data2", "--dumpdir", "dump2", "--expdir", "exp2")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1 and "is in both; take it out of one of them" in output


def joined(mine, folder, keys):
    """A folder with one long recording of some utterances, half a second or more apart, and how long it is."""
    folder.mkdir()
    parts = [read_audio(read_table(mine / "wav.scp")[key], key)[0] for key in keys]
    gap = (np.random.default_rng(0).standard_normal(16000) * 5).astype(np.int16)
    samples = np.concatenate([part for one in parts for part in (gap, one)])
    soundfile.write(folder / "long.wav", samples, 16000)
    return len(samples) / 16000


def test_audio_alone(place):
    """A finished model labels one long recording: students train on most of it, and are validated on the rest."""
    recipe, mine = place
    seconds = joined(mine / "calls", mine / "audio", list(read_table(mine / "calls/utt2spk"))[:30])
    given = ["--unlabelled", "mine/audio", "--test", "mine/test", "--datadir", "data3", "--dumpdir", "dump3"]
    given += ["--expdir", "exp3", "--target_opts", "--max_repeat 1000 --min_frames 0"]  # such a teacher babbles
    process = own(recipe, mine.parent, *given)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 1 and "--teacher_dir: without transcripts" in said and not (recipe / "data3").exists()
    given += ["--teacher_dir", str(recipe / "exp/teacher_tiny_s1")]
    process = own(recipe, mine.parent, *given)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 1 and f"long lasts {seconds:.0f} s" in said and "--cut_seconds 20" in said
    output = finish(own(recipe, mine.parent, *given, "--cut_seconds", "8"))
    valid, rest = (read_table(recipe / "data3" / name / "utt2spk").keys() for name in ("valid", "unlabelled"))
    assert len(valid | rest) > 15 and len(valid) == max(1, len(valid | rest) // 20) and not valid & rest
    student = read_yaml(recipe / "exp3/student_tiny_pseudo_soft_s1/config.yaml")
    lists = recipe / "exp3/student_tiny_pseudo_soft_s1/data"
    heard = read_table(recipe / "exp3/teacher_teacher_tiny_s1/targets_valid/text")
    assert read_table(lists / "valid/text") == heard and heard.keys() <= valid
    assert set(read_table(lists / "train/text")) <= rest and student["max_epoch"] == 2
    table = (recipe / "exp3/RESULTS.md").read_text()
    assert "|pseudo-labels + Word-KD, CTC frames too|" in table and "|student on references|" not in table
    assert "dump3/fbank/valid_labels: 1 of 1 utterances of dump3/fbank/valid" in output
    output = finish(own(recipe, "/", *given[4:]))  # the directories are not needed any more
    assert "training (" not in output and "finished" in output


WAVES = """
frontend: default
frontend_conf: {n_fft: 512, hop_length: 160, fs: 16k}
normalize: utterance_mvn
encoder: conformer
encoder_conf: {output_size: 32, attention_heads: 2, linear_units: 32, num_blocks: 1, cnn_module_kernel: 7}
decoder: transformer
decoder_conf: {attention_heads: 2, linear_units: 32, num_blocks: 1}
"""


def test_a_teacher_that_reads_audio_and_students_of_features(place):
    """One list of utterances serves both, and frames of CTC meet by time: an STFT is padded, a filterbank is not."""
    recipe, mine = place
    rest = (recipe / "conf/tiny_teacher.yaml").read_text().partition("model_conf:")
    (recipe / "conf/wave_teacher.yaml").write_text(WAVES + rest[1] + rest[2])
    given = ["--teacher_config", "conf/wave_teacher.yaml", "--expdir", "exp_wave", "--students", "refs pseudo_soft"]
    output = finish(own(recipe, mine.parent, *TINY[2:], *given, tiny=()))
    table = (recipe / "exp_wave/RESULTS.md").read_text()
    assert "|teacher|" in table and "|tiny: pseudo-labels + Word-KD, CTC frames too|" in table, output[-2000:]
    log = (recipe / "exp_wave/student_tiny_pseudo_soft_s1/log/train.log").read_text()
    assert "each of which takes the teacher's nearest in time" in log
    teacher = read_yaml(recipe / "exp_wave/teacher_wave_s1/config.yaml")
    assert (teacher["input_size"], teacher["frontend"], teacher["normalize"]) == (None, "default", "utterance_mvn")


def test_plain_directories_make_the_same_students_as_the_recipe_of_their_corpus(place):
    """Bit for bit: sets of a recipe have other names here, which is all that differs."""
    recipe, mine = place
    wsj = mine.parent / "egs/wsj"
    finish(run(wsj, "--students", "refs pseudo", "--stop_stage", "student"))
    sets = zip(("train", "valid", "test"), ("train_si284", "test_dev93", "test_eval92"), strict=True)
    given = [word for option, name in sets for word in (f"--{option}", str(wsj / "data" / name))]
    given += ["--transcribed", "0.6", "--ctc_weight", "0.3", "--students", "refs pseudo", "--stop_stage", "student"]
    places = [word for kind in ("data", "dump", "exp") for word in (f"--{kind}dir", f"{kind}_plain")]
    finish(own(recipe, mine.parent, *given, *places))
    for model in ("teacher_tiny_s1", "student_tiny_refs_s1", "student_tiny_pseudo_s1"):
        one, other = (read_yaml(top / model / "config.yaml") for top in (wsj / "exp", recipe / "exp_plain"))
        assert {key for key in one if one[key] != other[key]} <= PATHS, model
        weights = [(top / model / "valid.acc.ave.pth").read_bytes() for top in (wsj / "exp", recipe / "exp_plain")]
        assert weights[0] == weights[1], model
