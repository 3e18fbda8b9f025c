"""A place where the commands of the pages can run: what they name is there, small, and made by kdasr's own commands."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from pathlib import Path

import mt_models
import numpy as np
import soundfile
from bundles import RATE, add_bias, kdasr, speech, write_model
from micro import OWN, TINY
from pages import ROOT

from kdasr.files import write_table
from kdasr.nbest.archive import read_nbest

SETS = {"train": 6, "dev": 2, "test": 2}
WORDS = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN")
TRANSLATOR = """
frontend: lookup
frontend_conf: {embed_dim: 16}
encoder: text_rnn
encoder_conf: {hidden_size: 16, num_layers: 1}
decoder: luong
decoder_conf: {hidden_size: 16, num_layers: 1, embed_size: 16, tie_output: true}
optim: adam
optim_conf: {lr: 0.01}
batch_type: numel
batch_bins: 4000000
num_iters_per_epoch: 3
max_epoch: 1
num_workers: 0
best_model_criterion: [[valid, acc, max]]
keep_nbest_models: 1
num_att_plot: 0
use_matplotlib: false
use_tensorboard: false
"""


def same(place: Path, *others: str) -> None:
    """What a page calls otherwise is the same directory or file."""
    for other in others:
        link = place.parent / other if "/" not in other else Path(other)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(place, link.parent))


def make(top: Path) -> Path:
    """The place; it is the current directory meanwhile. Kaldi directories, features, tokens, models, lists."""
    back = Path.cwd()
    top.mkdir()
    os.chdir(top)
    try:
        _repository(top)
        _audio()
        _recogniser()
        _texts()
        _language_models()
    finally:
        os.chdir(back)
    return top


def repository(top: Path) -> Path:
    """The recipes alone, and what they look for before they plan: a model to be the teacher, and corpora."""
    top.mkdir()
    _repository(top)
    write_model(top / "models/asr", bins=80)
    for recipe in ("an4", "ptb", "mnist", "wsj", "multi30k"):
        (top / "egs" / recipe / "DIR").mkdir()
    for part in ("train", "valid", "test"):
        (top / f"egs/ptb/DIR/ptb.{part}.txt").write_text("a b\n")
    for where in (top.parent / "shared/data/multi30k", top / "corpora/asr"):
        where.mkdir(parents=True)
    return top


def _repository(top: Path) -> None:
    for name in ("kdasr", "tools", "utils", "setup.py"):
        (top / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "egs", top / "egs", ignore=shutil.ignore_patterns("data", "dump", "exp", "discs"))
    shutil.copytree(ROOT / "docs", top / "docs")
    shutil.copy(ROOT / "README.md", top)
    (top / "conf").mkdir()
    config = TINY.format(**OWN)
    for name in ("teacher", "student", "mini_student"):
        (top / f"conf/{name}.yaml").write_text(config.replace("num_iters_per_epoch: 12", "num_iters_per_epoch: 6"))
    # a teacher has to end its hypotheses
    (top / "conf/long.yaml").write_text(config.replace("num_iters_per_epoch: 12", "num_iters_per_epoch: 50"))


def _audio() -> None:
    """kaldi/SET, and folders of audio; a recording of two seconds each, with some words."""
    draw = random.Random(1)
    for name, many in SETS.items():
        where = Path("kaldi") / name
        where.mkdir(parents=True)
        lists: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
        for number in range(many):
            utterance = f"{name}{number}"
            soundfile.write(where / f"{utterance}.wav", speech(2, seed=number), RATE, subtype="PCM_16")
            lists["wav.scp"][utterance] = str((where / f"{utterance}.wav").resolve())
            lists["text"][utterance] = " ".join(draw.choices(WORDS, k=2))
            lists["utt2spk"][utterance] = utterance
        for file, table in [*lists.items(), ("spk2utt", lists["utt2spk"])]:
            write_table(where / file, table)
    for folder in ("calls", "recordings", "interviews"):
        Path(folder).mkdir()
        soundfile.write(f"{folder}/long.wav", np.tile(speech(3, seed=9), 4), RATE, subtype="PCM_16")
    shutil.copy("kaldi/test/test0.wav", "recording.wav")
    same(Path("kaldi/test"), "test_eval92")
    same(Path("kaldi"), "data")


def _recogniser() -> None:
    """Features, tokens, a teacher trained for seconds, and what else pages call by other names."""
    for name in SETS:
        assert kdasr("feats", "--data", f"kaldi/{name}", "--out", f"dump/fbank/{name}") == 0
    feats = Path("dump/fbank")
    same(feats / "train", "train_lab0.5", "train_si284", "train_si284_lab0.6")
    same(feats / "dev", "test_dev93", "train_unlab0.5")
    same(feats / "test", "test_eval92")
    assert kdasr("tokens", "--text", "kaldi/train/text", "kaldi/dev/text", "--out", "dump/tokens/char") == 0
    words = ("--train", "dump/fbank/train", "--valid", "dump/fbank/dev", "--tokens", "dump/tokens/char")
    assert kdasr("train", "--config", "conf/long.yaml", *words, "--out", "models/asr", "--role", "teacher") == 0
    shutil.copytree("models/asr", "exp/student")
    record = json.loads(Path("exp/student/kdasr.json").read_text())
    Path("exp/student/kdasr.json").write_text(json.dumps(record | {"role": "student", "label": "a student"}))
    same(Path("models/asr"), "exp/teacher", "exp/teacher_mini_s1")
    for name in ("train", "train_unlab0.5", "test"):
        archive = {"test": "nbest_test"}.get(name, f"exp/teacher/nbest_{name}")
        of_it = ("--model", "exp/teacher", "--data", f"dump/fbank/{name}", "--out", archive)
        assert kdasr("nbest", *of_it, "--beam", 2, "--nbest", 2) == 0
    of_it = ("--nbest", "exp/teacher/nbest_train", "--tokens", "dump/tokens/char", "--select", "topk", "--k", 2)
    for name in ("targets", "targets_seq_k5_b5"):
        assert kdasr("targets", *of_it, "--out", f"exp/teacher/{name}") == 0
    same(Path("exp/student"), *(f"exp/student_mini_{recipe}_s1" for recipe in ("refs", "pseudo_soft", "nbest")))
    same(Path("exp/student"), "egs/own/exp/student_pseudo_soft_s1", "egs/wsj/exp/student_mini_pseudo_soft_s1")
    assert kdasr("export", "--model", "exp/student", "--out", "student.zip") == 0
    same(Path("student.zip"), "exp/student/bundle.zip")


def _texts() -> None:
    """A translator with random weights, and texts in it, for scoring, and as Whisper leaves them."""
    sentences = mt_models.draw(6)
    mt_models.write_data(Path("mt"), sentences)
    mt_models.write_model(Path("exp/translator"), "own_luong")
    add_bias(Path("exp/translator"), -1, -3.0)
    source = [line.split(maxsplit=1)[1] for line in Path("mt/text.src").read_text().splitlines()]
    Path("sentences.txt").write_text("\n".join(source) + "\n")
    with gzip.open("captions.en.gz", "wt") as stream:
        stream.write("\n".join(source) + "\n")
    Path("ref.trn").write_text("one two (spk-u1)\n")
    Path("hyp.trn").write_text("one three (spk-u1)\n")
    Path("ref.stm").write_text("rec 1 spk 0.0 2.0 one two\n")
    Path("hyp.ctm").write_text("rec 1 0.5 0.5 one\nrec 1 1.0 0.5 three\n")
    for where in ("exp/s", "exp/s/decode_beam/test", "exp/teacher/decode_beam/test"):
        Path(where).mkdir(parents=True, exist_ok=True)
        shutil.copy("kaldi/test/text", f"{where}/text")
    shutil.copy("kaldi/test/text", "kaldi/test/text.src")
    theirs = "exp/teacher/decode_beam/test"
    of_it = ("--type", "bleu", "--ref", "data/test/text", "--hyp", f"{theirs}/text", "--dir", f"{theirs}/score_bleu")
    assert kdasr("score", *of_it) == 0
    Path("whisper_json").mkdir()
    heard = {record["id"]: record["hyps"][0]["text"] for record in read_nbest("exp/teacher/nbest_train_unlab0.5")}
    for number in range(SETS["dev"]):  # what the teacher hears, so that the two agree
        told = {"text": f" {heard[f'dev{number}'].lower()}.", "avg_logprob": -0.1}
        Path(f"whisper_json/dev{number}.json").write_text(json.dumps(told))
        with open("whisper.jsonl", "a") as stream:
            stream.write(json.dumps({"id": f"dev{number}", "text": "one two", "score": -0.1}) + "\n")
    whisper = ("--format", "whisper", "--in", "whisper_json", "--normalize", "punctuation,case")
    at = ("--data", "dump/fbank/dev", "--tokens", "dump/tokens/char", "--out", "exp/whisper/nbest_dev")
    assert kdasr("nbest", "import", *whisper, *at) == 0


def _language_models() -> None:
    """Of words, and of the recogniser's tokens."""
    text = Path("text.txt")
    text.write_text("\n".join(" ".join(WORDS[k : k + 3]) for k in range(8)) + "\n")
    assert kdasr("lm", "words", "--text", text, "--out", "dump/lm/words") == 0
    settings = [*(f"drop_{kind}=0" for kind in ("input", "hidden", "output", "latent", "embed", "weight"))]
    settings += ["embed=8", "hidden=8", "last=8", "layers=1", "experts=2", "streams=2", "epochs=1"]
    for words, out in (("dump/lm/words", "exp/lm/student_trust_s1"), ("dump/tokens/char", "exp/lm_char")):
        at = ("--words", words, "--train", text, "--valid", text, "--out", out)
        assert kdasr("lm", "train", *at, "--set", *settings) == 0


def for_page(name: str) -> None:
    """What a page makes itself is not there yet, and what its models read is."""
    if name == "your-model-and-corpus.md":
        Path("exp/teacher").unlink()
        shutil.rmtree("exp/student")
        shutil.rmtree("dump/fbank/train")
    if name == "translation.md":
        for old in ("exp/student", "exp/teacher", "exp/s", "exp/translator"):
            Path(old).unlink() if Path(old).is_symlink() else shutil.rmtree(old)
        Path("data").unlink()
        for config in ("teacher", "student"):
            Path(f"conf/{config}.yaml").write_text(TRANSLATOR)
        _parallel()
    if name == "frames.md":
        Path("conf/frames.yaml").write_text("hidden: 16\nlayers: 1\nepochs: 1\nbatch: 64\n")


def _parallel() -> None:
    """Parallel text with enough words for 4,000 pieces."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 9))) for _ in range(3000)]
    for name, many in (("train", 1500), ("val", 4), ("test", 4)):
        lines = [" ".join(draw.choices(words, k=6)) for _ in range(many)]
        for side in ("en", "de"):
            with gzip.open(f"{name}.{side}.gz", "wt") as stream:
                stream.write("\n".join(lines) + "\n")
    for name in ("val", "test"):
        of_it = ("--src", f"{name}.en.gz", "--tgt", f"{name}.de.gz")
        assert kdasr("data", "parallel", *of_it, "--out", f"data/{name}") == 0
    Path("captions.en").write_text("a dog\n")
