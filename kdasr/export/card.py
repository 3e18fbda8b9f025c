"""The card of an exported model: who taught it, on what, how large, fast and right it is; as facts and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdasr import checkpoints
from kdasr.files import read_json

PAGE = "README.md"
# What kdasr.json says that a user of the model may want to know.
TOLD = (
    "role",
    "label",
    "recipe",
    "learned_from",
    "teacher",
    "parameters",
    "updates",
    "seed",
    "train_seconds",
    "git",
    "adopted",
)


# Of a network's row: its score, its speed, and what the table calls them.
OF_AUDIO = ("wer", "rtf", "WER (%)", "CPU s a second of audio")
OF_TEXT = ("bleu", "seconds", "BLEU", "CPU s a sentence")
USE_AUDIO = """A speech recogniser, exported by kdasr {kdasr}. It needs numpy, onnxruntime and soundfile:

    pip install './kdasr[runtime]'     # ./kdasr: a clone of its repository
    kdasr transcribe --model BUNDLE a.wav

```python
import kdasr
print(kdasr.Recognizer("BUNDLE").transcribe("a.wav").text)
```"""
USE_TEXT = """A translator, exported by kdasr {kdasr}. It needs numpy, onnxruntime, and sentencepiece if its tokens do:

    pip install './kdasr[runtime]' sentencepiece     # ./kdasr: a clone of its repository
    kdasr translate --model BUNDLE sentences.txt

```python
import kdasr
print(kdasr.Translator("BUNDLE").translate("A sentence.").text)
```"""


def facts(model: Path, network: Any, licence: str, checkpoint: str) -> dict[str, Any]:
    """What is known of a model without measuring it."""
    path = model / checkpoints.RECORD
    record = read_json(path) if path.is_file() else {}
    known = {name: record[name] for name in TOLD if record.get(name) not in (None, "")}
    known["parameters"] = sum(weight.numel() for weight in network.parameters())
    return known | {"checkpoint": checkpoint, "licence": licence or "not stated"}


def translates(settings: Mapping[str, Any]) -> bool:
    """Whether bundle.json is of a model that translates."""
    return settings["input"] == "text"


def table(settings: Mapping[str, Any]) -> str:
    """Size, speed and error rate (or BLEU) of each network, as a Markdown table."""
    rows = settings["card"]["networks"]
    score, speed, unit, cost = OF_TEXT if translates(settings) else OF_AUDIO
    known = any(score in row for row in rows.values())
    head = "| network | bytes |" + (f" {unit} | 95 % interval | {cost} | other texts |" if known else "")
    lines = [head, "|---|---|" + ("---|---|---|---|" if known else "")]
    for name, row in rows.items():
        line = f"| {name} | {row.get('bytes', '')} |"
        if known and score in row:
            low, high = row["interval95"]
            other = row.get("other_than_checkpoint", "")
            line += f" {row[score]:.2f} | {low:.2f} to {high:.2f} | {row[speed]:.4f} | {other} |"
        lines.append(line)
    return "\n".join(lines)


def page(settings: Mapping[str, Any]) -> str:
    """The card in words."""
    card = settings["card"]
    told = "\n".join(
        f"| {name.replace('_', ' ')} | {value} |" for name, value in card.items() if name not in ("networks", "set")
    )
    search = settings["search"]
    rated = ""
    if "set" in card:
        given = card["set"]
        weight = "" if translates(settings) else f"CTC weight {search['ctc_weight']:g}, "
        rated = (
            f"\nMeasured on {given['utterances']} utterances ({given['name']}), beam {search['beam']}, {weight}"
            f"on one core, by the runtime itself; `{given['signature']}`. "
            '"Other texts": utterances whose text is not the checkpoint\'s.\n'
        )
    use = (USE_TEXT if translates(settings) else USE_AUDIO).format(kdasr=settings["kdasr"])
    takes = "text | a sentence at a time, UTF-8"
    if not translates(settings):
        takes = f"audio | {settings['sample_rate']} Hz, one channel (other audio is converted)"
    return f"""# {settings["name"]}

{use}

{table(settings)}
{rated}
| | |
|---|---|
{told}
| {takes} |
"""
