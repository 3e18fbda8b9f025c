"""An exp directory of translators, whose scores `kdasr score --type bleu` has made."""

import random

from kinds import facts
from report_inputs import write_text
from test_report_table import write_model

from kdasr.cli import main
from kdasr.files import write_json

LINE = (
    "ein Mann zwei Frauen und Kinder spielen mit einem Ball im Park neben dem großen alten Haus </script> <b>fett</b>"
)
WORDS = LINE.split()
LABELS = {"teacher": "teacher", "ref": "student on references", "kd": "taught", "bad": "taught badly"}


def decoded(root, model, tag, refs, rate, seed, seconds):
    """A set of which a part of the words is wrong, decoded at so many CPU seconds for 1,000 tokens, and scored."""
    generator = random.Random(seed)
    out = model / f"decode_{tag}" / "test"
    hyps = {
        key: [generator.choice(WORDS) if generator.random() < rate else word for word in words]
        for key, words in refs.items()
    }
    write_text(out / "text", hyps)
    told = {"audio_seconds": 0.0, "source_tokens": 1000, "cpu_seconds": seconds, "wall_seconds": seconds}
    write_json(out / "decode.json", told | {"mode_probability": rate / 2})
    words = ["--ref", root / "test/text", "--src", root / "test/text.src", "--hyp", out / "text"]
    assert main(["score", "--type", "bleu", *map(str, words), "--dir", str(out / "score_bleu")]) == 0


def make_translators(root):
    """A teacher, students on references, and taught ones that are better, and worse, than these; two seeds each."""
    generator = random.Random(1)
    refs = {f"s{k:02d}": generator.choices(WORDS, k=generator.randint(6, 14)) for k in range(40)}
    write_text(root / "test/text", refs)
    write_text(root / "test/text.src", {key: ["source", key] for key in refs})
    for name, rate in (("teacher", 0.1), ("ref", 0.3), ("kd", 0.15), ("bad", 0.5)):
        for seed in (1,) if name == "teacher" else (1, 2):
            teacher = name == "teacher"
            info = facts(LABELS[name], "teacher" if teacher else "student")
            info |= {"role": "teacher", "teacher": None} if teacher else {"teacher": "teacher"}
            size = 1_000_000 if teacher else 100_000
            model = write_model(root / "exp", name if teacher else f"{name}{seed}", LABELS[name], size, seed, **info)
            for tag, more in (("greedy", 0.1), ("beam", 0.0)):
                decoded(root, model, tag, refs, rate + more, f"{name}{seed}", 5.0 if teacher else 2.0)
    return root / "exp"
