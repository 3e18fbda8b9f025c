"""Files of a stranger's, each of which would touch a marker if anything in it were run; and where kdasr reads some."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from mt_models import write_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import fuzz_inputs

from kdasr.checkpoints import sha256
from kdasr.cli import main
from kdasr.files import read_table, write_table

CONFIG = {
    "encoder": "conv_rnn",
    "encoder_conf": {"hidden_size": 12, "num_layers": 1, "conv_channels": 3},
    "decoder": "attention_gru",
    "decoder_conf": {"hidden_size": 12, "embed_size": 6, "attention_size": 8},
    "model_conf": {"ctc_weight": 0.4},
    "optim": "adam",
    "batch_type": "numel",
    "batch_bins": 3200,
    "max_epoch": 2,
    "num_workers": 0,
    "best_model_criterion": [["valid", "acc", "max"]],
    "keep_nbest_models": 2,
    "num_att_plot": 0,
    "use_matplotlib": False,
    "use_tensorboard": False,
}
WAVES = {"n_fft": 128, "hop_length": 80, "n_mels": 8, "fs": "16k"}
TRAIN = "train --config conf/tiny.yaml --train feats --valid feats --tokens model/m/tokens --out exp/s"

# ------------------------------------------------------------------------------------------- files that run something


class Touch:
    """An object that touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def objects(marker: Path) -> np.ndarray:
    """An array of Python objects, which numpy pickles."""
    return np.array([Touch(marker)], dtype=object)


def torch_zip(path: Path, marker: Path) -> None:
    torch.save({"weight": torch.zeros(2), "more": Touch(marker)}, path)


def torch_legacy(path: Path, marker: Path) -> None:
    torch.save({"more": Touch(marker)}, path, _use_new_zipfile_serialization=False)


def bare_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Touch(marker)))


def npz(path: Path, marker: Path) -> None:
    """Every array of the file that stood there, and if none did those of cmvn.npz, as objects."""
    with contextlib.suppress(FileNotFoundError), np.load(path) as stored:
        np.savez(path, **{name: objects(marker) for name in stored.files})
        return
    np.savez(path, count=objects(marker), sum=objects(marker), sum_square=objects(marker))


def npy(path: Path, marker: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, objects(marker))


def ark_pickle(path: Path, marker: Path) -> None:
    """What kaldiio writes with write_function="pickle"."""
    path.write_bytes(b"utt PKL" + pickle.dumps(Touch(marker)))


def ark_numpy(path: Path, marker: Path) -> None:
    """What kaldiio writes with write_function="numpy", but of objects."""
    stream = io.BytesIO()
    np.save(stream, objects(marker))
    data = stream.getvalue()
    path.write_bytes(b"utt NPY\x04" + len(data).to_bytes(4, "little") + data)


def yaml_tag(path: Path, marker: Path) -> None:
    path.write_text(f"hidden: 6\nmore: !!python/object/apply:os.system [touch {marker}]\n")


def shell_lines(path: Path, marker: Path) -> None:
    path.write_text(
        f"$(touch {marker})\nx=$(touch {marker})\n`touch {marker}`\ntouch {marker} |\na[$(touch {marker})]\n"
    )


CHECKPOINT = (torch_zip, torch_legacy, bare_pickle)
NPZ = (npz, bare_pickle)
NPY = (npy, bare_pickle)
ARK = (ark_pickle, ark_numpy)
YAML = (yaml_tag,)
TEXT = (yaml_tag, shell_lines)

# ---------------------------------------------------------------------------------------------- commands in the lists

# M: the marker, F: a file
COMMANDS = (
    "touch M |",
    "| touch M",
    "touch M |[0:3]",
    "touch M | [0:3,0:2]",
    "touch M |:7",
    "touch M |[0:3]:7",
    "touch M |\u00a0",
    "touch M | \u2003\u3000",
    "cat F; touch M |",
    "cat F && touch M |",
    "cat F | touch M |",
    "cat F > M |",
    "cat F $(touch M) |",
    "cat <(touch M) |",
    "cat `touch M` |",
    "flac -c -d -s $(touch M) |",
    "flac -c -d -s -o M F |",
    "sph2pipe -f wav F M |",
    "sox F -t wav M |",
    "sox |touch\u00a0M -t wav - |",
    "~/F |",
)

# ------------------------------------------------------------------------------------------------------------ the shop


class Vector(NamedTuple):
    """A call of a command, a file that it reads, and what a stranger puts there."""

    line: str
    place: str
    files: tuple[Callable[[Path, Path], None], ...]

    @property
    def command(self) -> str:
        return command_of(self.line)


def command_of(line: str) -> str:
    return fuzz_inputs.name_of(line.split()).removeprefix("kdasr ")


def build_shop(shop: Path) -> None:
    """Small inputs of every kind, relative to `shop`: those of tools/fuzz_inputs.py, and trainings begun."""
    shop.mkdir()
    with contextlib.chdir(shop), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for part in ("data", "feats", "model", "pruned", "espnet_lm", "tokens", "nbest", "targets", "lm", "images"):
            fuzz_inputs.build(part)
        for part in ("frames", "report", "conf"):
            fuzz_inputs.build(part)
        Path("conf/tiny.yaml").write_text(yaml.safe_dump(CONFIG))
        waveform_model()
        run("export --model model/m --out bundles/m")
        write_model(Path("translator/m"), "own_luong")
        Path("translator/sentences").write_text("ab\ncd\n")
        run("export --model translator/m --out translator/b")
        begin_trainings()
        begin_data()
        audio_of_the_report()
        for path in shop.rglob("*"):
            if path.is_file() and b"\0" not in (data := path.read_bytes()):
                path.write_bytes(data.replace(f"{shop}/".encode(), b""))


def begin_trainings() -> None:
    """Each of the four kinds, as a kill at its end leaves it: kdasr.json is not there yet."""
    run(f"{TRAIN.replace('exp/s', 'begun/asr')}")
    run(lm_train("begun/lm"))
    run("images_train.py --data images/images.npz --conf images/settings.yaml --out begun/images")
    run("frames train --data frames/f --valid frames/f --conf frames/settings.yaml --out begun/frames")
    for out in Path("begun").iterdir():
        (out / "kdasr.json").unlink()
        if not (out / "checkpoint.pth").exists():  # removed at the end
            shutil.copy(next(out.glob("*.pth")), out / "checkpoint.pth")


def begin_data() -> None:
    """Features that are normalised by speaker and soft targets, both before their parts are put together."""
    run("feats --data data/whole --out parts/feats --nj 1 --bins 8 --cmvn speaker --job 1/1")
    for suffix in ("ark", "scp", "sha256"):
        Path(f"targets/t/soft.{suffix}").unlink()  # of the archive
    for copy in ("targets/plain", "parts/targets"):
        shutil.copytree("targets/t", copy)
    soft = "soft --model model/m --data feats --ctc"
    Path("parts/targets/ctc.ark/x").mkdir(parents=True)  # stands in the way
    assert main(f"{soft} --targets parts/targets".split()) != 0 and Path("parts/targets/.soft/0.npz").exists()
    shutil.rmtree("parts/targets/ctc.ark")
    run(f"{soft} --targets targets/t")


def audio_of_the_report() -> None:
    """Recordings for its utterances, whole and in segments."""
    names = list(read_table("report/test/text"))
    recordings = dict.fromkeys(names, "data/whole/rec1.wav")
    for name in ("whole", "cut"):
        Path("report/audio", name).mkdir(parents=True)
        write_table(Path("report/audio", name, "wav.scp"), recordings)
    write_table("report/audio/cut/segments", {name: f"{name} 0.0 0.1" for name in names})


def waveform_model() -> None:
    """A model that takes audio, and one that normalises with the statistics of a file."""
    import argparse

    import search_models

    from kdasr.networks.load import register

    for name, more in (
        ("waves", {"frontend": "default", "frontend_conf": WAVES, "input_size": None}),
        ("stats", {"normalize": "global_mvn", "normalize_conf": {"stats_file": "feats/cmvn.npz"}}),
    ):
        given = search_models.config("kdasr") | more
        Path("model", name).mkdir()
        model = register().build_model(argparse.Namespace(**given))
        torch.save(model.state_dict(), f"model/{name}/valid.acc.ave.pth")
        Path("model", name, "config.yaml").write_text(yaml.safe_dump(given))


def lm_train(out: str) -> str:
    settings = "embed=6 hidden=8 last=6 layers=1 experts=2 streams=2 steps=6 epochs=1 rate=1"
    return f"lm train --words lm/words --train lm/train.txt --valid lm/valid.txt --out {out} --set {settings}"


def run(line: str) -> None:
    assert fuzz_inputs.kdasr(line.split()) == 0, line


def place_for(shop: Path, root: Path, *texts: str) -> None:
    """Copies of those parts of the shop that are named."""
    words = {word.strip("[]") for text in texts for word in text.replace("=", " ").split()}
    for part in {word.split("/")[0] for word in words}:
        if (shop / part).is_dir():
            shutil.copytree(shop / part, root / part, symlinks=True)


@contextlib.contextmanager
def forged(path: Path) -> Iterator[None]:
    """A file that is replaced meanwhile, and its checksum wherever it is noted nearby."""
    before = sha256(path) if path.is_file() else None
    yield
    if path.name == "checkpoint.pth" or path.name.endswith("epoch.pth"):
        (path.parent / "checksums.json").write_text(f'{{"{path.name}": ["{sha256(path)}"]}}')
    for note in (one for near in (path.parent, path.parent.parent) for one in near.iterdir()):
        if before and note.suffix in (".json", ".sha256") and before in (text := note.read_text()):
            note.write_text(text.replace(before, sha256(path)))


def replaced(place: str, make: Callable[[Path, Path], None], marker: Path) -> None:
    """Put a stranger's file in a place; links to another file become files."""
    path = Path(place)
    with forged(path):
        if path.is_symlink():
            path.unlink()
        make(path, marker)


def spoil_entry(table: Path, entry: str, chosen: Callable[[Iterable[str]], str] = min) -> str:
    """Write another entry behind a list's first key, or last if `chosen` is max; the key is returned."""
    rows = read_table(table)
    key = chosen(rows)
    write_table(table, rows | {key: entry})
    return key


def commands(lines: Iterable[str]) -> set[str]:
    return {command_of(line) for line in lines}
