"""Small corpora in the layouts of LibriSpeech and Common Voice, made of noise."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

VALIDATE = Path(__file__).parents[1] / "utils/validate_data_dir.py"
RATE = 16000
WORDS = ["ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN"]
HEADER = ["client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale", "segment"]


def noise(samples, seed=0):
    return np.random.default_rng(seed).integers(-3000, 3000, samples).astype(np.int16)


def librispeech(root, sets=("train-clean-5", "dev-clean-2"), readers=("84", "1272"), chapters=("121123", "9"), each=2):
    """SET/READER/CHAPTER/*.flac with transcripts, and SPEAKERS.TXT; readers of each set have numbers of their own."""
    rows = [";ID  |SEX| SUBSET           |MINUTES| NAME\n"]
    for number, name in enumerate(sets):
        for place, reader in enumerate(f"{reader}{number}" for reader in readers):
            rows.append(f"{reader:<5}| {'FM'[place % 2]} | {name:<16} | 8.02 | A Name | with a bar\n")
            for chapter in chapters:
                folder = root / name / reader / chapter
                folder.mkdir(parents=True)
                lines = []
                for count in range(each):
                    utterance = f"{reader}-{chapter}-{count:04}"
                    soundfile.write(folder / f"{utterance}.flac", noise(RATE // 2 + 160 * count, count), RATE)
                    lines.append(f"{utterance} {WORDS[(place + count) % 7]} {WORDS[count % 7]}\n")
                (folder / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))
    (root / "SPEAKERS.TXT").write_text("".join(rows))
    return root


def mp3(path, samples, rate=32000):
    """An MP3 as Common Voice has it."""
    if "MP3" not in soundfile.available_formats():
        pytest.skip("this libsndfile writes no MP3")
    soundfile.write(path, samples, rate, format="MP3")


def commonvoice(root, lists):
    """clips/*.mp3 and lists; each list has rows (client, clip, sentence)."""
    (root / "clips").mkdir(parents=True)
    for name, rows in lists.items():
        lines = ["\t".join(HEADER)]
        for client, clip, sentence in rows:
            mp3(root / "clips" / f"{clip}.mp3", noise(6400))
            lines.append("\t".join([client, f"{clip}.mp3", sentence, "2", "0", "", "", "", "eu", ""]))
        (root / f"{name}.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def validate(directory, *words):
    """utils/validate_data_dir.py takes a data directory."""
    command = [sys.executable, VALIDATE, "--no-feats", *words, directory]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
