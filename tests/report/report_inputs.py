"""An exp directory whose scores `kdasr score` has made, with words that a careless page would take for markup."""

import json
import random

import numpy as np
from test_report_table import write_model

from kdasr.cli import main
from kdasr.report.alignments import Alignment
from kdasr.score.align import align

# sclite's signs (; { } \\ @) are refused by kdasr score; these are what is left of a page's
TEXT = (
    "the cat sat on a mat with seven hats today </script> <b>bold</b> <!-- \"quoted\" 'single' &amp *** naïve 日本 "
    "=5 /x - +y ~z <img/src=x> O'Neil"
)
VOCABULARY = TEXT.split()


def utterances(count, seed=0):
    """{utterance: words}; names sort as they are made."""
    generator = random.Random(seed)
    made = {}
    for k in range(count):
        # sclite skips a line that begins with two asterisks
        made[f"s{k % 4}-u{k:03d}"] = ["today", *generator.choices(VOCABULARY, k=generator.randint(2, 8))]
    return made


def said(words, rate, generator):
    """Words with errors of all three kinds."""
    result = [words[0]]
    for word in words[1:]:
        chance = generator.random() / rate
        if chance < 0.5:
            result.append(generator.choice(VOCABULARY))
        elif chance < 0.75:
            result += [word, "extra"]
        elif chance >= 1:
            result.append(word.upper() if generator.random() < 0.05 else word)
    return result


def write_text(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key} {' '.join(words)}".rstrip() + "\n" for key, words in sorted(lines.items())))


def write_scored(root, model, tag, name, refs, rate, seed, cpu):
    """Decode a set with errors of some rate, and score it as the recipe does."""
    generator = random.Random(seed)
    out = model / f"decode_{tag}" / name
    write_text(root / name / "text", refs)
    write_text(root / name / "utt2spk", {key: [key.partition("-")[0]] for key in refs})
    write_text(out / "text", {key: said(words, rate, generator) for key, words in refs.items()})
    told = {"audio_seconds": 100.0, "cpu_seconds": cpu, "wall_seconds": cpu, "mode_probability": rate / 2}
    (out / "decode.json").write_text(json.dumps(told))
    for kind in ("wer", "cer"):
        words = ["--ref", root / name / "text", "--hyp", out / "text", "--utt2spk", root / name / "utt2spk"]
        words += ["--type", kind, "--dir", out / f"score_{kind}"]
        assert main(["score", *map(str, words)]) == 0


def write_log(model, epochs, first=1):
    """A training log as ESPnet writes it."""
    (model / "log").mkdir(exist_ok=True)
    lines = [
        f"2026-01-01 00:00:0{k % 10},0 (trainer:394) INFO: {k}epoch results: [train] loss_ctc=2.0, loss={10 / k:.4f}, "
        f"time=2 minutes and 3.2 seconds, total_count={k * 50}, [valid] acc={1 - 0.5 / k:.4f}, loss={12 / k:.4f}, "
        f"time=1.2 seconds, total_count={k}\n"
        for k in range(first, epochs + 1)
    ]
    (model / "log/train.log").write_text("# kdasr train\n" + "".join(lines) + "# Ended\n")


def make_exp(root, count=30):
    """Teacher, students on references and taught ones (two seeds each), one unfinished; sets dev and test."""
    exp = root / "exp"
    refs = {"dev": utterances(10, 1), "test": utterances(count)}
    models = [("teacher", "teacher", 1_000_000, 1, 0.05, {"role": "teacher", "teacher": None})]
    for seed in (1, 2):
        models += [
            (f"ref{seed}", "student on references", 100_000, seed, 0.4, {"teacher": None}),
            (f"kd{seed}", "<i>taught</i> & 'quoted'", 100_000, seed, 0.2, {"teacher": "teacher"}),
        ]
    for number, (name, label, parameters, seed, rate, info) in enumerate(models):
        model = write_model(exp, name, label, parameters, seed, **info)
        write_log(model, 5)
        for part, texts in refs.items():
            for tag, factor in (("greedy", 1.4), ("beam", 1.0)):
                cpu = (8.0 if number == 0 else 2.0) / factor
                write_scored(root, model, tag, part, texts, rate * factor, 10 * number + len(tag), cpu)
    write_model(exp, "unfinished", "unfinished student", 50_000, train_seconds=None, teacher="teacher")
    return exp


def aligned(ref, hyp):
    """The alignment of two sentences."""
    return Alignment(
        tuple(ref.split()), tuple(hyp.split()), "".join(op for op, _, _ in align(ref.split(), hyp.split()))
    )


def tone(path, seconds, rate=16000):
    """Write a recording of a tone; its path."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.sin(np.arange(int(rate * seconds)) * 0.1) * 8000
    soundfile.write(path, samples.astype(np.int16), rate)
    return path
