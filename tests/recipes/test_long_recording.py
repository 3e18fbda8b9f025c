"""Ten minutes of speech in one file through a stock ESPnet conformer of WSJ's size: memory, and words of all parts."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from needs import need

from kdasr.data.recording import resample, trim
from kdasr.data.voices import RATE, Espeak, Settings, make_speakers
from kdasr.files import read_table
from kdasr.nbest.archive import read_nbest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from bench_models import RATIO, network, write_model  # noqa: E402

pytestmark = pytest.mark.recipe
MINUTES = 10
MOST_MEMORY = 2e9  # bytes
SENTENCES = ["the price of oil rose again", "nobody had asked the chairman", "seven of the banks are closed"]
# as most models of others: audio in, and its filterbank inside
FROM_AUDIO = {"frontend": "default", "frontend_conf": {"fs": RATE, "n_fft": 512, "hop_length": 160}}


def recording(path):
    """Write sentences with pauses of 0.9 to 2.5 s, faint noise below; where each sentence is, in seconds."""
    espeak, rng = Espeak(), np.random.default_rng(1)
    said = []
    for number, speaker in enumerate(make_speakers([f"s{n:02d}" for n in range(12)], 0, Settings(), 1)):
        spoken = espeak.say(SENTENCES[number % 3], speaker.voice, speaker.rate, speaker.pitch)
        one = trim(resample(spoken, espeak.rate))
        said.append(one / np.abs(one).max() * 9000)
    parts, spans, at = [], [], 0
    while at < MINUTES * 60 * RATE:
        gap, one = np.zeros(int(rng.uniform(0.9, 2.5) * RATE)), said[len(spans) % len(said)]
        parts += [gap, one]
        spans.append(((at + len(gap)) / RATE, (at + len(gap) + len(one)) / RATE))
        at += len(gap) + len(one)
    samples = np.concatenate(parts)
    soundfile.write(path, np.rint(samples + rng.standard_normal(len(samples)) * 15).astype(np.int16), RATE)
    return spans


def memory_of(*words):
    """Run a command in a process of its own; the most memory that it held, in bytes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "kdasr.cli", *map(str, words)], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return used.ru_maxrss * 1024


def test_ten_minutes(tmp_path):
    """Less than 2 GB, and each sentence has words of its own; the weights are random, so which words says nothing."""
    need("espeak")
    (tmp_path / "audio").mkdir()
    spans = recording(tmp_path / "audio/long.wav")
    write_model(tmp_path / "model", network("conformer") | FROM_AUDIO, bins=None)
    cutting = memory_of("data", "segments", "--in", tmp_path / "audio", "--out", tmp_path / "cut", "--nj", 1)
    decoding = memory_of(
        *("nbest", "--model", tmp_path / "model", "--model_file", "valid.acc.best.pth", "--data", tmp_path / "cut"),
        *("--out", tmp_path / "nbest", "--beam", 5, "--maxlenratio", RATIO),
    )
    print(f"{spans[-1][1]:.0f} s of audio: {cutting / 1e6:.0f} MB to cut, {decoding / 1e6:.0f} MB to decode")
    assert max(cutting, decoding) < MOST_MEMORY
    heard = {record["id"]: record["hyps"][0]["text"] for record in read_nbest(tmp_path / "nbest")}
    times = {key: tuple(map(float, line.split()[1:3])) for key, line in read_table(tmp_path / "cut/segments").items()}
    with_words = sorted(times[key] for key, text in heard.items() if text.strip())
    assert len(with_words) == len(spans)  # there is a pause behind each sentence
    for (start, end), (first, last) in zip(spans, with_words, strict=True):
        assert first <= start + 0.05 and end - 0.1 <= last
