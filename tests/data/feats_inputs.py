"""Small corpora of noise for `kdasr feats`, and the command called on them."""

import numpy as np
import soundfile

from kdasr.cli import main
from kdasr.files import read_table, write_table

STEP = 32 / 65535  # half the range of log-mel values there are, over 16 bits: more than compression can be wrong by


def kdasr_feats(data, out, *words):
    return main(["feats", "--data", str(data), "--out", str(out), *map(str, words)])


def audio(seconds, seed, rate=16000):
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(0, 2000, round(seconds * rate)), -32768, 32767).astype(np.int16)


def corpus(path, utterances=7, speakers=2, rate=16000):
    """A data directory of noise: 0.3 s and more, utterance ids sorted by speaker."""
    path.mkdir(parents=True)
    wav, text, utt2spk = {}, {}, {}
    for number in range(utterances):
        speaker = f"s{number % speakers}"
        name = f"{speaker}-{number:02}"
        place = path / f"{name}.wav"
        soundfile.write(place, audio(0.3 + 0.07 * number, number, rate), rate, subtype="PCM_16")
        wav[name], text[name], utt2spk[name] = str(place), f"WORDS OF {number}", speaker
    for table, rows in (("wav.scp", wav), ("text", text), ("utt2spk", utt2spk)):
        write_table(path / table, rows)
    return path


def snapshot(out):
    """Every file of a feature directory but locks, with the directory's own path taken out."""
    return {
        path.name: path.read_bytes().replace(str(out).encode(), b"OUT")
        for path in sorted(out.iterdir())
        if not path.name.startswith(".")
    }


def segments(row):
    def change(data):
        write_table(
            data / "segments", {name: f"{name} 0 0.2" for name in read_table(data / "wav.scp")} | {"s0-00": row}
        )

    return change
