"""A stranger's file runs no code: what each command reads, with a shell command or pickle in it that leaves a mark."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import strangers
import torch
import yaml
from strangers import ARK, CHECKPOINT, COMMANDS, CONFIG, NPY, NPZ, TEXT, TRAIN, YAML, Vector, lm_train

from kdasr import cli
from kdasr.cli import main
from kdasr.data.audio import read_audio
from kdasr.data.matrices import read_matrix
from kdasr.data.places import RUN_COMMANDS, parse
from kdasr.files import read_table, write_table

sys.path.insert(0, str(Path(__file__).parent / "utils"))

DECODE = "decode --model model/m --data feats --out out --beam 2 --nj 1"
NBEST = "nbest --model model/m --data feats --out out --beam 2 --nbest 2 --nj 1"
IMPORT = "nbest import --format kaldi --in nbest/kaldi --data feats --tokens model/m/tokens --out out"
SOFT = "soft --model model/m --targets targets/plain --data feats"
PPL = "ppl --model model/m --data feats --out out.json"
ALIGN = "frames align --model model/m --data feats --out out"
STUDENT = f"{TRAIN} --targets targets/t"
WORD = f"{STUDENT} --kd word_weight=0.5"
ASK = f"{WORD} teachers=[model/m]"
RESUMED = TRAIN.replace("exp/s", "begun/asr")
RESCORE = "rescore --nbest nbest/a --lm lm/exp/m --out out"
LM_PPL = "lm ppl --model lm/exp/m --text lm/valid.txt --out out"
LM_SOFT = "lm soft --teachers lm/exp/m --text lm/train.txt --out out"
IMAGES = "images_train.py --data images/images.npz --conf images/settings.yaml"
SPECIALISTS = "images_specialists.py --data images/images.npz --generalist images/exp/m --out out --epochs 1"
PICTURE = "images_report.py --exp images/exp --out out.md --data images/images.npz --picture out.svg"
FRAMES = "frames train --data frames/f --valid frames/f --conf frames/settings.yaml"
PREDICT = "frames predict --models frames/exp/m --data frames/f --out out"
GENERALIST = "frames specialists --data frames/f --test frames/f --generalist frames/exp/m --out out --epochs 1"
CUT = "frames data --feats feats --alignment frames/ali --out out --left 2 --right 1"
FRAMES_DECODE = "frames decode --predictions frames/p --data frames/f --train frames/f --out out"
EXPORT = "export --model model/m --out out"
HEARD = "transcribe --model bundles/m --data feats"
TRANSLATED = "translate --model translator/b translator/sentences"
FEATS = "feats --data data/whole --out out --nj 1 --bins 8"
OWN = "data own --train data/whole --valid data/whole --test data/whole --out out"
SHRINK = "shrink --model model/m --params 1k --out out"
SHRINK_ON = f"{SHRINK} --data feats"
SHRINK_LIKE = "shrink --model model/m --like conf/tiny.yaml --out out"
CHAPTER = "train-clean-5/84/1"
AUDIO = "report report/exp -o out.html --audio report/audio/whole"

ASR, LM = "model/m/valid.acc.ave.pth", "lm/exp/m/valid.loss.best.pth"

# what numpy and torch read: a command, the file, what stands in it
PICKLES = [
    *(Vector(line, ASR, CHECKPOINT) for line in (DECODE, NBEST, SOFT, PPL, ALIGN, f"{TRAIN} --init model/m", ASK)),
    *(Vector(f"{line} --model_file other.pth", "model/m/other.pth", CHECKPOINT) for line in (DECODE, NBEST, SOFT, PPL)),
    Vector("adopt model/m --out out", ASR, CHECKPOINT),
    Vector(EXPORT, ASR, CHECKPOINT),
    Vector(f"{EXPORT} --model_file other.pth", "model/m/other.pth", CHECKPOINT),
    Vector("transcribe --model model/m --data feats", ASR, CHECKPOINT),
    *(Vector(HEARD, f"bundles/m/{name}.onnx", CHECKPOINT) for name in ("encoder", "decoder")),
    *(Vector(TRANSLATED, f"translator/b/{name}.onnx", CHECKPOINT) for name in ("encoder", "decoder")),
    Vector("translate --model translator/m translator/sentences", "translator/m/valid.acc.ave.pth", CHECKPOINT),
    Vector("prune --model model/m --sparsity 0.5 --out out", ASR, CHECKPOINT),
    Vector("prune --model model/m --sparsity 0.5 --out out --model_file other.pth", "model/m/other.pth", CHECKPOINT),
    *(Vector(line, ASR, CHECKPOINT) for line in (SHRINK, SHRINK_ON, SHRINK_LIKE)),
    Vector(f"{SHRINK} --model_file other.pth", "model/m/other.pth", CHECKPOINT),
    Vector(f"{ALIGN} --model_file other.pth", "model/m/other.pth", CHECKPOINT),
    Vector(f"{TRAIN} --mask pruned/mask.pth", "pruned/mask.pth", CHECKPOINT),
    Vector(RESUMED, "begun/asr/checkpoint.pth", CHECKPOINT),
    Vector(RESUMED, "begun/asr/2epoch.pth", CHECKPOINT),
    *(Vector(f"{line} --lm espnet_lm", "espnet_lm/valid.loss.ave.pth", CHECKPOINT) for line in (DECODE, NBEST)),
    *(Vector(f"{line} --lm espnet_lm --lm_file x.pth", "espnet_lm/x.pth", CHECKPOINT) for line in (DECODE, NBEST)),
    *(Vector(line, LM, CHECKPOINT)
      for line in (LM_PPL, LM_SOFT, RESCORE, lm_train("out --init lm/exp/m"), lm_train("out --teachers lm/exp/m"))),
    Vector(f"{LM_PPL} --dynamic lm/train.txt", LM, CHECKPOINT),
    Vector(lm_train("begun/lm"), "begun/lm/checkpoint.pth", CHECKPOINT),
    *(Vector(lm_train("out --soft lm/soft"), f"lm/soft/{name}.npy", NPY) for name in ("ids", "logq", "gold", "best")),
    *(Vector(line, "images/images.npz", NPZ) for line in (f"{IMAGES} --out out", SPECIALISTS, PICTURE)),
    Vector(f"{IMAGES} --out out --teachers images/exp/m", "images/exp/m/logits.npz", NPZ),
    Vector(SPECIALISTS, "images/exp/m/model.pth", CHECKPOINT),
    Vector(f"{IMAGES} --out begun/images", "begun/images/checkpoint.pth", CHECKPOINT),
    *(Vector(line, f"frames/f/{name}.npy", NPY)
      for line in (f"{FRAMES} --out out", PREDICT, GENERALIST, FRAMES_DECODE)
      for name in ("features", "starts", "labels")),
    *(Vector(line, "frames/exp/m/model.pth", CHECKPOINT) for line in (PREDICT, GENERALIST)),
    *(Vector(line, "frames/p/log_probs.npy", NPY) for line in (f"{FRAMES} --out out --soft frames/p", FRAMES_DECODE)),
    Vector(f"{FRAMES} --out begun/frames", "begun/frames/checkpoint.pth", CHECKPOINT),
    Vector(TRAIN, "feats/cmvn.npz", NPZ),
    Vector(DECODE.replace("model/m", "model/stats"), "feats/cmvn.npz", (*NPZ, *NPY)),
    Vector("feats --data data/whole --out parts/feats --nj 1 --bins 8 --cmvn speaker --merge",
           "parts/feats/raw.0.npz", NPZ),
    Vector("feats --data data/whole --out parts/feats --nj 1 --bins 8 --cmvn speaker --merge",
           "parts/feats/raw.0.ark", ARK),
    Vector("soft --model model/m --targets parts/targets --data feats --ctc", "parts/targets/.soft/0.npz", NPZ),
]  # fmt: skip

# lists whose entries say where data lies: a command, the list
LISTS = [
    (FEATS, "data/whole/wav.scp"),
    (FEATS.replace("whole", "cut"), "data/cut/wav.scp"),
    ("data segments --in data/whole --out out --nj 1", "data/whole/wav.scp"),
    (IMPORT.replace("feats", "data/whole"), "data/whole/wav.scp"),
    (AUDIO, "report/audio/whole/wav.scp"),
    (f"{AUDIO}/wav.scp", "report/audio/whole/wav.scp"),
    (AUDIO.replace("whole", "cut"), "report/audio/cut/wav.scp"),
    *((line.replace("model/m", "model/waves").replace("feats", "data/whole"), "data/whole/wav.scp")
      for line in (DECODE, NBEST, PPL, ALIGN)),
    (SOFT.replace("model/m", "model/waves").replace("feats", "data/whole"), "data/whole/wav.scp"),
    (SHRINK_ON.replace("model/m", "model/waves").replace("feats", "data/whole"), "data/whole/wav.scp"),
    *((line, "feats/feats.scp") for line in (DECODE, NBEST, SOFT, PPL, ALIGN, SHRINK_ON, CUT, TRAIN, STUDENT)),
    (TRAIN.replace("--valid feats", "--valid parts/feats"), "parts/feats/feats.scp"),
    (HEARD, "feats/feats.scp"),
    (HEARD.replace("feats", "data/whole"), "data/whole/wav.scp"),
    (HEARD.replace("feats", "data/cut"), "data/cut/wav.scp"),
    (f"{EXPORT} --data feats", "feats/feats.scp"),
    (STUDENT, "targets/t/soft.scp"),
    (WORD, "targets/t/soft.scp"),
    (f"{STUDENT} --kd ctc_word_weight=0.5", "targets/t/ctc.scp"),
]  # fmt: skip

# YAML, JSON and other text: a command, the file
TEXTS = [
    *(Vector(line, "model/m/config.yaml", YAML)
      for line in (DECODE, NBEST, SOFT, PPL, ALIGN, f"{TRAIN} --init model/m", ASK,
                   "prune --model model/m --sparsity 0.5 --out out", SHRINK, SHRINK_ON,
                   "tokens --model model/m --out out", "adopt model/m --out out", EXPORT)),
    *(Vector(HEARD, f"bundles/m/{name}", TEXT) for name in ("bundle.json", "tokens.txt")),
    *(Vector(TRANSLATED, f"translator/{name}", TEXT) for name in ("b/bundle.json", "b/source_tokens.txt", "sentences")),
    Vector(TRAIN, "conf/tiny.yaml", YAML),
    Vector(SHRINK_LIKE, "conf/tiny.yaml", YAML),
    Vector(f"{SHRINK} --train_config conf/tiny.yaml", "conf/tiny.yaml", YAML),
    *(Vector(SHRINK_ON, place, TEXT) for place in ("feats/text", "model/m/tokens/tokens.json")),
    *(Vector(line, "lm/exp/m/config.yaml", YAML)
      for line in (LM_PPL, LM_SOFT, RESCORE, lm_train("out --init lm/exp/m"))),
    *(Vector(f"{line} --lm espnet_lm", "espnet_lm/config.yaml", YAML) for line in (DECODE, NBEST)),
    Vector(f"{lm_train('out')} --conf lm/settings.yaml", "lm/settings.yaml", YAML),
    Vector(f"{IMAGES} --out out", "images/settings.yaml", YAML),
    Vector(f"{FRAMES} --out out", "frames/settings.yaml", YAML),
    *(Vector(TRAIN, f"model/m/tokens/{name}", TEXT) for name in ("tokens.json", "tokens.txt")),
    *(Vector(line, "model/m/kdasr.json", TEXT)
      for line in (DECODE, "prune --model model/m --sparsity 0.5 --out out", SHRINK)),
    Vector(OWN, "data/whole/text", TEXT),
    Vector("label model/m renamed", "model/m/kdasr.json", TEXT),
    Vector(RESUMED, "begun/asr/settings.json", TEXT),
    Vector(RESUMED, "begun/asr/checksums.json", TEXT),
    *(Vector("nbest verify nbest/a", f"nbest/a/{name}", TEXT) for name in ("manifest.json", "nbest.0.jsonl")),
    Vector("nbest export --nbest nbest/a --out out", "nbest/a/nbest.0.jsonl", TEXT),
    *(Vector(IMPORT, f"nbest/kaldi/{name}", TEXT) for name in ("export.json", "text", "score")),
    Vector("targets --nbest nbest/a --tokens model/m/tokens --out out", "nbest/a/nbest.0.jsonl", TEXT),
    Vector("lm report --exp lm/exp --out out.md", "lm/exp/m/kdasr.json", TEXT),
    Vector(PICTURE, "images/exp/m/kdasr.json", TEXT),
    Vector("frames report --exp frames/exp --out out.md", "frames/exp/m/kdasr.json", TEXT),
    Vector(f"{RESCORE} --weights lm/weights.json", "lm/weights.json", TEXT),
    Vector(f"{FRAMES_DECODE} --weights lm/weights.json", "lm/weights.json", TEXT),
    Vector("report report/exp -o out.md --figures report/figures.jsonl", "report/figures.jsonl", TEXT),
    Vector("claims report/claims.yaml -o out.md", "report/claims.yaml", YAML),
    Vector("claims report/claims.yaml -o out.md", "report/figures.jsonl", TEXT),
    Vector("tokens --text tokens/text --out out", "tokens/text", TEXT),
    Vector("tokens --text tokens/text --nlsyms tokens/symbols --out out", "tokens/symbols", TEXT),
    Vector("lm words --text lm/train.txt --out out", "lm/train.txt", TEXT),
    Vector("data text --out out --without tokens/text", "tokens/text", TEXT),
    Vector("data sentences --train tokens/text --valid tokens/text --test tokens/text --out out", "tokens/text", TEXT),
    Vector("data holdout data/whole --labelled out1 --unlabelled out2", "data/whole/text", TEXT),
    Vector("data folds data/whole --out out", "data/whole/wav.scp", TEXT),
    Vector("data transcripts --in data/whole --text data/whole/text --out out", "data/whole/text", TEXT),
    Vector("data an4 --an4 an4 --out out --dev_speakers 1", "an4/etc/an4_train.fileids", TEXT),
    Vector("data librispeech --in librispeech --out out", f"librispeech/{CHAPTER}/84-1.trans.txt", TEXT),
    Vector("data librispeech --in librispeech --out out", "librispeech/SPEAKERS.TXT", TEXT),
    Vector("data commonvoice --in commonvoice --out out --sets train", "commonvoice/train.tsv", TEXT),
    Vector("data folder --in librispeech --out out", f"librispeech/{CHAPTER}/84-1-0000.flac", TEXT),
    *(Vector("data pairs --check scores/hyp --of scores/ref", f"scores/{name}", TEXT) for name in ("hyp", "ref")),
    *(Vector("data parallel --src scores/ref --tgt scores/hyp --out out", f"scores/{name}", TEXT)
      for name in ("ref", "hyp")),
    Vector("data wsj --out out discs/11-13.1", "discs/11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx", TEXT),
    Vector("images_data.py --mnist images/plain --out out.npz", "images/plain/train-images-idx3-ubyte", TEXT),
    *(Vector("score --ref scores/ref --hyp scores/hyp --utt2spk scores/utt2spk --dir out", f"scores/{name}", TEXT)
      for name in ("ref", "hyp", "utt2spk")),
    *(Vector(f"jobs {command} jobs/exp", f"jobs/exp/jobs/q/1_data.log.20260101-000000.1/{name}", TEXT)
      for command in ("status", "cancel", "logs") for name in ("spec.json", "id", "exit.1")),
]  # fmt: skip

NO_FILE = {"data mini": "makes a corpus of its own text"}


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    shop = tmp_path_factory.mktemp("strangers") / "shop"
    strangers.build_shop(shop)
    return shop


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """What must not be there in the end; the working directory is empty."""
    monkeypatch.delenv(RUN_COMMANDS, raising=False)
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "ran"


def programs(directory, monkeypatch, **scripts):
    """Programs that stand before all others in PATH."""
    directory.mkdir()
    for name, script in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def call(line, capsys):
    """The exit status of a command and what it said on stderr; what it raises counts as a traceback."""
    capsys.readouterr()
    status = strangers.fuzz_inputs.kdasr(line.split() if isinstance(line, str) else line)
    return status, capsys.readouterr().err


def refuse(line, capsys, marker, *named):
    """The command ends with 1 and one sentence that names these, and runs nothing."""
    status, said = call(line, capsys)
    assert not marker.exists()
    assert status == 1, said
    *logged, last = said.splitlines()
    assert last.startswith(f"{strangers.fuzz_inputs.name_of(line.split())}: "), said
    assert "Traceback" not in said and all(name in last for name in named), said
    if not line.startswith("train "):  # ESPnet logs to stderr
        assert not logged


def each(vectors):
    """A test for each file of each vector."""
    return [
        pytest.param(one.line, one.place, make, id=f"{one.command}:{number}:{Path(one.place).name}:{make.__name__}")
        for number, one in enumerate(vectors)
        for make in one.files
    ]


def lists():
    """A test for each list."""
    return [
        pytest.param(line, table, id=f"{strangers.command_of(line)}:{number}:{Path(table).name}")
        for number, (line, table) in enumerate(LISTS)
    ]


def test_every_verb_that_reads_files_is_covered():
    covered = strangers.commands([*(one.line for one in (*PICKLES, *TEXTS)), *(line for line, _ in LISTS)])
    programs = {f"images_{name}.py" for name in ("data", "train", "specialists", "report")}
    assert covered | NO_FILE.keys() == cli.COMMANDS.keys() | programs
    assert not covered & NO_FILE.keys()


# ------------------------------------------------------------------------- the files do what they are thought to do


def careless(make, path):
    """Read a file without care, in a process of its own that has not met kdasr."""
    read = {
        CHECKPOINT: "torch.load(path, weights_only=False)",
        NPZ: "[np.load(path, allow_pickle=True)[name] for name in np.load(path).files]",
        NPY: "np.load(path, allow_pickle=True)",
        ARK: "kaldiio.load_mat(path + ':4')",
        YAML: "yaml.load(open(path), yaml.Loader)",
    }
    expression = next(text for makers, text in read.items() if make in makers)
    if make is strangers.ark_numpy:  # of kaldiio's functions only this one can be asked to
        expression = (
            "kaldiio.matio.read_kaldi(io.BytesIO(open(path, 'rb').read()[4:]), load_kwargs={'allow_pickle': True})"
        )
    if make is strangers.bare_pickle:
        expression = "pickle.load(open(path, 'rb'))"
    return f"path = {str(path)!r}\ntry: {expression}\nexcept Exception as error: print(path, error)"


def test_each_file_runs_its_command_where_it_is_read_without_care(tmp_path):
    lines, markers = ["import io, pickle, kaldiio, numpy as np, torch, yaml"], []
    for make in dict.fromkeys((*CHECKPOINT, *NPZ, *NPY, *ARK, *YAML)):
        path = tmp_path / make.__name__
        markers.append(tmp_path / f"ran_{make.__name__}")
        make(path, markers[-1])
        lines.append(careless(make, next(tmp_path.glob(f"{make.__name__}*"))))
    free = {key: value for key, value in os.environ.items() if key != "TORCH_FORCE_WEIGHTS_ONLY_LOAD"}
    words = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(words, env=free, capture_output=True, text=True, check=True)
    assert [one.name for one in markers if not one.exists()] == [], done.stdout


# ------------------------------------------------------------------------------------------------------------ pickles


@pytest.mark.parametrize(("line", "place", "make"), each(PICKLES))
def test_a_pickle_is_refused(shop, marker, capsys, line, place, make):
    """In every checkpoint, mask and array, its checksum forged wherever one is noted."""
    strangers.place_for(shop, Path(), line, place)
    strangers.replaced(place, make, marker)
    refuse(line, capsys, marker)


@pytest.mark.parametrize("make", ARK)
@pytest.mark.parametrize("chosen", [min, max])
@pytest.mark.parametrize(("line", "table"), lists())
def test_a_pickle_in_an_archive_is_refused(shop, marker, capsys, line, table, chosen, make):
    """Behind the first key of a list and the last, whole and cut."""
    strangers.place_for(shop, Path(), line, table, "targets/t")
    provide(Path(table))
    make(Path("bad.ark"), marker)
    kept = Path(table).read_bytes()
    for cut in ("", "[0:3]") if "feats.scp" in table else ("",):
        Path(table).write_bytes(kept)
        strangers.spoil_entry(Path(table), f"bad.ark:4{cut}", chosen)
        refuse(line, capsys, marker)


def provide(table):
    """parts/feats is not finished, and serves as a validation set of its own once it has a list."""
    if table.parts[0] == "parts" and not table.exists():
        for name in ("feats.scp", "utt2num_frames", "text"):
            shutil.copy(Path("feats") / name, table.parent / name)


# ----------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize(("line", "table"), lists())
def test_a_command_is_refused(shop, marker, capsys, line, table):
    """In every list, in every form; nothing is run and nothing is written."""
    strangers.place_for(shop, Path(), line, table, "targets/t")
    provide(Path(table))
    kept = Path(table).read_bytes()
    for command in COMMANDS:
        Path(table).write_bytes(kept)
        entry = command.replace("M", str(marker)).replace("F", str(Path(table).resolve()))
        key = strangers.spoil_entry(Path(table), entry)
        refuse(line, capsys, marker, table, key)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_in_segments_is_refused(shop, marker, capsys, command):
    strangers.place_for(shop, Path(), "data/cut")
    key = strangers.spoil_entry(Path("data/cut/segments"), command.replace("M", str(marker)) + " 0.0 0.1")
    refuse(FEATS.replace("whole", "cut"), capsys, marker, "data/cut/segments", key)


def test_commands_run_where_they_are_allowed(shop, marker, monkeypatch, capsys):
    """KDASR_RUN_COMMANDS=1: features and hypotheses are those of the files."""
    strangers.place_for(shop, Path(), FEATS, DECODE)
    monkeypatch.setenv(RUN_COMMANDS, "1")
    strangers.run(DECODE.replace("--out out", "--out plain"))
    table = read_table("data/whole/wav.scp")
    write_table("data/whole/wav.scp", {key: f"touch {marker}; cat {path} |" for key, path in table.items()})
    strangers.run(FEATS)
    assert marker.exists()
    assert Path("out/feats.0.ark").read_bytes() == Path("feats/feats.0.ark").read_bytes()
    piped("feats/feats.scp")
    shutil.rmtree("out")
    strangers.run(DECODE)
    assert Path("out/text").read_bytes() == Path("plain/text").read_bytes()


def piped(scp, more=""):
    """Write a list's entries as commands that print the bytes from the offset on."""
    places = {key: parse(entry, key) for key, entry in read_table(scp).items()}
    write_table(scp, {key: f"{more}tail -c +{one.offset + 1} {one.path} |" for key, one in places.items()})


def test_commands_run_in_espnet_too_where_they_are_allowed(shop, marker):
    """A training in a process of its own, whose lists hold commands; its weights are those of a training with files."""
    strangers.place_for(shop, Path(), TRAIN, RESUMED)
    config = CONFIG | {"max_epoch": 1}
    Path("conf/tiny.yaml").write_text(yaml.safe_dump(config))
    strangers.run(TRAIN.replace("exp/s", "exp/files"))
    piped("feats/feats.scp", f"touch {marker}; ")
    done = subprocess.run(
        [sys.executable, "-m", "kdasr.cli", *TRAIN.replace("exp/s", "exp/commands").split()],
        env=os.environ | {RUN_COMMANDS: "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert marker.exists()
    files, commands = (torch.load(f"exp/{name}/1epoch.pth", weights_only=True) for name in ("files", "commands"))
    assert all((files[name] == commands[name]).all() for name in files)


# -------------------------------------------------------------------------- commands that only decode are read natively


@pytest.fixture
def recordings(marker, monkeypatch):
    """Stereo and mono audio, in a PATH whose flac, sph2pipe, sox and cat touch the marker."""
    names = ("flac", "sph2pipe", "sox", "cat")
    programs(marker.parent / "programs", monkeypatch, **dict.fromkeys(names, f"/usr/bin/touch {marker}"))
    stereo = np.random.default_rng(1).integers(-9000, 9000, (500, 2)).astype(np.int16)  # (n, channels)
    soundfile.write("two.wav", stereo, 16000, subtype="PCM_16")
    soundfile.write("a b.wav", stereo[:, 0], 16000, subtype="PCM_16")
    soundfile.write("one.flac", stereo[:, 0], 16000, subtype="PCM_16")
    header = "channel_count -i 2\nsample_count -i 500\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
    header += "sample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    Path("two.sph").write_bytes(f"NIST_1A\n   1024\n{header}".encode().ljust(1024) + stereo.astype("<i2").tobytes())
    return stereo


@pytest.mark.parametrize(
    ("command", "channel"),
    [
        ("flac -c -d -s one.flac |", 1),
        ("flac -cds one.flac|", 1),
        ("/usr/bin/flac --stdout --decode --silent one.flac | ", 1),
        ("sph2pipe -f wav -c 1 two.sph |", 1),
        ("sph2pipe -f wav -p -c 2 two.sph |", 2),
        ("sph2pipe -f wav -c 2 two.wav |", 2),
        ("sox two.wav -t wav - remix 1 |", 1),
        ("sox two.wav -t wav - remix 2 |", 2),
        ("sox two.sph -t wav - remix 2 |", 2),
        ("sox 'a b.wav' -t wav - |", 1),
        ('cat "a b.wav" |', 1),
        ("cat a\\ b.wav |", 1),
    ],
)
def test_a_command_that_only_decodes_is_read_and_not_run(recordings, marker, command, channel):
    samples, rate = read_audio(parse(command, "wav.scp: utt"), "utt")
    assert rate == 16000 and (samples == recordings[:, channel - 1]).all()
    assert not marker.exists()


def test_features_of_commands_that_only_decode_are_those_of_the_files(shop, recordings, marker):
    strangers.place_for(shop, Path(), FEATS, "feats")
    forms = ("cat {} |", "sox {} -t wav - |", "sph2pipe -f wav -c 1 {} |")
    table = read_table("data/whole/wav.scp")
    made = {key: form.format(path) for form, (key, path) in zip(forms, table.items(), strict=True)}
    write_table("data/whole/wav.scp", made)
    strangers.run(FEATS)
    assert Path("out/feats.0.ark").read_bytes() == Path("feats/feats.0.ark").read_bytes()
    assert not marker.exists()


@pytest.mark.parametrize("command", ["sph2pipe -f wav two.sph |", "sox two.wav -t wav - |", "cat two.wav |"])
def test_of_several_channels_one_has_to_be_named(recordings, marker, command, capsys):
    Path("data").mkdir()
    for name, value in (("wav.scp", command), ("utt2spk", "utt"), ("text", "a")):
        write_table(Path("data") / name, {"utt": value})
    refuse("feats --data data --out out --nj 1 --bins 8", capsys, marker, "2 channels" if "sph" not in command else "")


def test_a_matrix_that_cat_prints_is_read_and_not_run(recordings, marker):
    matrix = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    kaldiio.save_mat("one.mat", matrix)
    assert (read_matrix("utt", "cat one.mat |") == matrix).all()
    assert not marker.exists()


# ------------------------------------------------------------------------------------- what a training's config names


def configured(**more):
    Path("conf/tiny.yaml").write_text(yaml.safe_dump(CONFIG | more))


@pytest.mark.parametrize("make", CHECKPOINT)
@pytest.mark.parametrize("how", ["init_param", "-- --init_param", "mask", "teachers", "beats"])
def test_a_checkpoint_that_a_config_names_is_refused(shop, marker, capsys, how, make):
    strangers.place_for(shop, Path(), ASK)
    make(Path("bad.pth"), marker)
    line = TRAIN
    if how == "init_param":
        configured(init_param=["bad.pth"])
    elif how == "-- --init_param":
        line += " -- --init_param bad.pth"
    elif how == "mask":
        configured(kd_conf={"mask": "bad.pth"})
    elif how == "teachers":
        strangers.replaced(ASR, make, marker)
        configured(kd_conf={"word_weight": 0.5, "teachers": ["model/m"]})
        line = STUDENT
    else:
        configured(encoder="beats", encoder_conf={"beats_ckpt_path": "bad.pth"})
    refuse(line, capsys, marker)


@pytest.mark.parametrize(
    ("kind", "workers"),
    [("ark_pickle", 1), ("command", 1), ("ark_pickle", 0), ("command", 0), ("ark_numpy", 0), ("npy", 0)],
)
def test_further_data_that_a_config_names_runs_nothing(shop, marker, kind, workers):
    """ESPnet reads it by itself; its own message will do."""
    strangers.place_for(shop, Path(), TRAIN)
    entry, how = "bad:4", "kaldi_ark"
    if kind == "command":
        entry = f"touch {marker} |"
    else:
        getattr(strangers, kind)(Path("bad"), marker)
    if kind == "npy":
        entry, how = "bad.npy", "npy"
    write_table("more.scp", {key: entry for key in read_table("feats/feats.scp")})
    configured(
        train_data_path_and_name_and_type=[["more.scp", "more", how]],
        allow_variable_data_keys=True,
        num_workers=workers,
        max_epoch=1,
    )
    with pytest.raises(BaseException) as stopped:
        assert main(TRAIN.split()) == 0
    assert not marker.exists(), stopped


# --------------------------------------------------------------------------------------------------- YAML, JSON, text


@pytest.mark.parametrize(("line", "place", "make"), each(TEXTS))
def test_text_is_text(shop, marker, monkeypatch, capsys, line, place, make):
    """A list of words may hold any; whatever the command makes of it, nothing is run."""
    programs(marker.parent / "programs", monkeypatch, squeue="", scancel="")  # a cluster that knows of no job
    for part in ("an4", "librispeech", "commonvoice", "scores", "jobs"):
        if f"{part}/" in place:
            strangers.fuzz_inputs.build(part)
    strangers.place_for(shop, Path(), line, place)
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    strangers.replaced(place, make, marker)
    if make is strangers.yaml_tag and place.endswith(("yaml", "json")):
        refuse(line, capsys, marker)
    elif (status := call(line, capsys)[0]) not in (0, 1, 2):
        pytest.fail(f"status {status}")
    assert not marker.exists()


@pytest.mark.parametrize("conf", ["encoder_conf", "model_conf", "kd_conf", "optim_conf"])
def test_a_conf_that_is_text_is_no_yaml_of_its_own(shop, marker, capsys, conf):
    """ESPnet would read `--encoder_conf TEXT` with a loader, or eval, that runs what it names."""
    for text in ("x=!!python/object/apply:os.system ['touch {}']", "__import__('os').system('touch {}') or {{}}"):
        shutil.rmtree("exp", ignore_errors=True)
        strangers.place_for(shop, Path(), *([TRAIN] if not Path("feats").exists() else []))
        configured(**{conf: text.format(marker)})
        try:
            assert main(TRAIN.split()) != 0
        except Exception as error:
            assert "os" not in type(error).__name__
        assert not marker.exists()


def test_directories_with_names_that_are_yaml_stay_names(shop, marker, capsys):
    strangers.place_for(shop, Path(), STUDENT)
    tag = "!!python/object/apply:os.system ['touch ran']"
    for name in ("feats", "targets/t", "model/m/tokens"):
        Path(tag, name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(name, Path(tag, name))
    configured(max_epoch=1)
    words = ["train", "--config", "conf/tiny.yaml", "--train", f"{tag}/feats", "--valid", f"{tag}/feats"]
    words += ["--tokens", f"{tag}/model/m/tokens", "--targets", f"{tag}/targets/t", "--teacher", tag]
    status, said = call([*words, "--out", "exp/s"], capsys)
    assert status == 0, said
    call([*words, "--out", f"exp/{tag}"], capsys)
    assert not list(Path().rglob("ran"))


@pytest.mark.parametrize("make", [strangers.bare_pickle, strangers.shell_lines])
def test_a_sentencepiece_model_is_data(shop, marker, capsys, make):
    strangers.place_for(shop, Path(), TRAIN, "tokens/bpe")
    strangers.replaced("tokens/bpe/bpe.model", make, marker)
    refuse(TRAIN.replace("model/m/tokens", "tokens/bpe"), capsys, marker)


def test_a_report_passes_over_checkpoints_that_are_pickles(shop, marker, capsys):
    """It takes learning curves from there if there is no log."""
    strangers.place_for(shop, Path(), AUDIO)
    for make, name in zip(CHECKPOINT, ("teacher", "kd1", "ref1"), strict=True):
        make(Path(f"report/exp/{name}/checkpoint.pth"), marker)
        shutil.rmtree(f"report/exp/{name}/log", ignore_errors=True)
    status, said = call("report report/exp -o out.html", capsys)
    assert status == 0 and not marker.exists()
    assert said.count("checkpoint.pth: cannot be read") == 3


# --------------------------------------------------------------------------------------------------- recipes and utils


@pytest.fixture
def recipe(marker):
    """A recipe whose kdasr is a stand-in; see tests/utils."""
    from stand_in import lay_out

    return lay_out(Path.cwd())


def stages(recipe, *words):
    """utils/kd.sh up to stage 5; whatever its status is, its output."""
    from stand_in import UTILS

    words = [UTILS / "kd.sh", "--early_students", "false", "--stop_stage", "5", *words]
    done = subprocess.run(words, cwd=recipe, capture_output=True, text=True, timeout=600, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "touch M",
        "$(touch M)",
        "label: $(touch M)",
        "label: '`touch M`'",
        "label: mine; touch M",
        "label: !!python/object/apply:os.system ['touch M']",
        "beam: 'a[$(touch M)]'",
        "teachers: 'a[$(touch M)]'",
        "distillation: {word_weight: $(touch M)}",
        "selection: {k: $(touch M)}",
        "selection: {similarity: '$(touch M)'}",
        "starts_from: '$(touch M)'",
        "prune: {sparsity: '`touch M`'}\nstarts_from: refs",
        "shrink: {params: '$(touch M)'}\nstarts_from: refs",
        "shrink: {params: 5k, by: '`touch M`'}\nstarts_from: refs",
        "shrink: {like: '$(touch M)'}\nstarts_from: refs",
    ],
)
@pytest.mark.parametrize("name", ["mine", "given/mine.yaml"])
def test_a_student_recipe_is_settings_and_no_program(recipe, marker, name, line):
    path = recipe / (name if "/" in name else f"conf/students/{name}.yaml")
    path.parent.mkdir()
    path.write_text(f"label: mine\nlearns_from: hypotheses\n{line.replace('M', str(marker))}\n")
    said = stages(recipe, "--students", name)
    assert not marker.exists(), said


@pytest.mark.parametrize("name", ["$(touch ran)", "a[$(touch ran)]", "`touch ran`"])
def test_a_student_recipes_name_is_a_name(recipe, marker, name):
    """Of one that another goes on from."""
    (recipe / "conf/students").mkdir()
    for file, more in ((name, ""), ("mine", f"starts_from: '{name}'\n")):
        (recipe / f"conf/students/{file}.yaml").write_text(f"label: mine\nlearns_from: hypotheses\n{more}")
    said = stages(recipe, "--students", "mine")
    assert not list(recipe.rglob("ran")), said


def test_what_a_recipe_left_is_text(recipe, marker):
    """.done and .lock of an exp directory that came from somebody else, the latter free and held by another process."""
    stages(recipe, "--students", "nbest")
    run = f"$(touch {marker})"
    names = (run, f"a[{run}]", f"x]={run}; a[", f"`touch {marker}`", f"]=;touch {marker};")
    text = "".join(f"{name}={run}\n{run} {name}\n" for name in names)
    compared = 0
    for note in recipe.rglob(".done"):
        kept = note.read_text()
        note.write_text(text)
        compared += "made with other settings" in stages(recipe, "--students", "nbest")
        note.write_text(kept)
        assert not marker.exists(), note
    assert compared > 5
    lock = recipe / "exp/.lock"
    lock.write_text(f"a[{run}] {run}\n")
    with lock.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert "another run works here" in stages(recipe, "--students", "nbest")
    lock.write_text(f"a[{run}] {run}\n")
    assert "finished" in stages(recipe, "--students", "nbest")
    assert not marker.exists()


@pytest.mark.parametrize(
    "line",
    [
        "command sbatch $(touch M)",
        "command sbatch `touch M`",
        "option mem=* --mem $(touch M)",
        "default time=$(touch M)",
        "$(touch M)",
    ],
)
def test_slurm_conf_is_read_by_no_shell(marker, monkeypatch, line):
    from stand_in import UTILS

    programs(marker.parent / "programs", monkeypatch, sbatch="exit 1", squeue="")
    Path("slurm.conf").write_text(f"command sbatch\noption time=* --time $0\n{line.replace('M', str(marker))}\n")
    words = [sys.executable, UTILS / "slurm.py", "--config", "slurm.conf", "--mem", "1G", "x.log", "true"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode != 0 and not marker.exists(), done.stderr


@pytest.mark.parametrize("script", ["combine_data.py out feats", "validate_data_dir.py feats", "fix_data_dir.py feats"])
def test_scripts_for_data_directories_run_nothing(shop, marker, script):
    from stand_in import UTILS

    strangers.place_for(shop, Path(), "feats")
    strangers.replaced("feats/cmvn.npz", strangers.npz, marker)
    strangers.spoil_entry(Path("feats/feats.scp"), f"touch {marker} |")
    name, *words = script.split()
    subprocess.run([sys.executable, UTILS / name, *words], capture_output=True, timeout=600, check=False)
    assert not marker.exists()
