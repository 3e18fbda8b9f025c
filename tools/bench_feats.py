#!/usr/bin/env python3
"""Speed of features, compared with kaldi-native-fbank in the same run.

    tools/venv/bin/python tools/bench_feats.py [--utterances 60] [--repeats 5]

Utterances have the lengths of WSJ's (mean 7.8 s). The figure is seconds of audio per second of CPU time of one
thread, the best of several interleaved repeats: on a shared machine the ratio between rows says more than a row.
"""

# ruff: noqa: E402 (the number of threads has to be set before numpy is imported)
from __future__ import annotations

import argparse
import contextlib
import io
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.cli import main as kdasr
from kdasr.data.fbank import fbank
from kdasr.data.speed import change_speed
from kdasr.data.utterances import parse_speeds
from kdasr.files import write_table

RATE = 16000


def utterances(count: int) -> list[np.ndarray]:
    """Noise as long as WSJ's utterances: lengths from a gamma distribution of mean 7.8 s, 1 to 24 s."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.gamma(5.5, 1, count), 1, 24)
    lengths *= 7.8 / lengths.mean()
    return [np.clip(rng.normal(0, 2000, int(length * RATE)), -32768, 32767).astype(np.int16) for length in lengths]


def kaldi(samples: np.ndarray) -> int:
    """kaldi-native-fbank with the same options; a list, which it takes faster than an array. Frames."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    extractor = knf.OnlineFbank(options)
    extractor.accept_waveform(RATE, samples.astype(np.float32).tolist())
    extractor.input_finished()
    return len([extractor.get_frame(t) for t in range(extractor.num_frames_ready)])


def cpu() -> float:
    """CPU seconds of this process and of its finished children."""
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def write_corpus(data: Path, audio: list[np.ndarray], subtype: str) -> Path:
    """A Kaldi data directory of these utterances, as WAV or SPHERE (`subtype` wav, sph) files."""
    import soundfile

    data.mkdir()
    places = {}
    for number, samples in enumerate(audio):
        places[f"u{number:04}"] = str(data / f"u{number:04}.{subtype}")
        kind = {"wav": "WAV", "sph": "NIST"}[subtype]
        soundfile.write(places[f"u{number:04}"], samples, RATE, subtype="PCM_16", format=kind)
    write_table(data / "wav.scp", places)
    write_table(data / "utt2spk", dict.fromkeys(places, "u"))
    return data


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=60, help="utterances a repeat (default 60: 7.8 minutes)")
    parser.add_argument("--repeats", type=int, default=5, help="repeats, of which the best counts (default 5)")
    args = parser.parse_args()
    audio = utterances(args.utterances)
    seconds = sum(map(len, audio)) / RATE
    faster = parse_speeds("1.1")["sp1.1-"]

    with tempfile.TemporaryDirectory() as scratch:
        corpora = {kind: write_corpus(Path(scratch) / kind, audio, kind) for kind in ("wav", "sph")}
        number = 0

        def command(kind: str, *options: str) -> Callable[[], object]:
            def call() -> None:
                nonlocal number
                number += 1
                words = [
                    "feats",
                    "--data",
                    str(corpora[kind]),
                    "--out",
                    f"{scratch}/out{number}",
                    "--nj",
                    "1",
                    *options,
                ]
                said = io.StringIO()
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    status = kdasr(words)
                if status:
                    sys.exit(said.getvalue())

            return call

        cases: dict[str, Callable[[], object]] = {
            "kaldi-native-fbank, samples in memory": lambda: [kaldi(samples) for samples in audio],
            "kdasr.data.fbank, samples in memory": lambda: [fbank(samples) for samples in audio],
            "kdasr feats, WAV files to ark, tables, CMVN": command("wav"),
            "kdasr feats, SPHERE files to ark, tables, CMVN": command("sph"),
            "kdasr feats --cmvn speaker, WAV files": command("wav", "--cmvn", "speaker"),
            "speed perturbation alone (1.1)": lambda: [change_speed(samples, faster) for samples in audio],
        }
        best = dict.fromkeys(cases, float("inf"))
        for repeat in range(args.repeats + 1):  # the first one imports and warms up
            for name, case in cases.items():
                started = cpu()
                case()
                if repeat:
                    best[name] = min(best[name], cpu() - started)

    base = best["kaldi-native-fbank, samples in memory"]
    print(f"{'':<48} {'x real time':>12} {'ratio':>7}")
    for name, spent in best.items():
        print(f"{name:<48} {seconds / spent:>12.0f} {base / spent:>7.2f}")
    print(
        f"\n{len(audio)} noise utterances, mean {seconds / len(audio):.1f} s, 16 kHz, 80 bins; CPU time, one thread,\n"
        f"best of {args.repeats}; {processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f};\n"
        f"Python {platform.python_version()}, numpy {np.__version__}; {time.strftime('%Y-%m-%d')}"
    )


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
