"""A data directory and tokens for `kdasr nbest import`, the forms of other systems, and the command called on them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))
from target_inputs import write_tokens

from kdasr.cli import main
from kdasr.files import write_table
from kdasr.nbest.archive import read_manifest, read_nbest

TOKENS = ["<blank>", "<unk>", "<NOISE>", "<space>", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "<sos/eos>"]


class Place:
    """root/data of u1, u2, u3 (1, 2 and 3 seconds), root/char, and archives imported there."""

    def __init__(self, root, tokens=TOKENS):
        self.root = Path(root)
        write_tokens(self.root / "char", tokens)
        (self.root / "char" / "nlsyms.txt").write_text("<NOISE>\n")
        (self.root / "data").mkdir()
        self.lengths(u1=100, u2=200, u3=300)

    def lengths(self, **frames):
        write_table(self.root / "data" / "utt2num_frames", {key: str(count) for key, count in frames.items()})

    def file(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def table(self, name, rows):
        path = self.root / name
        write_table(path, {key: str(value) for key, value in rows.items()})
        return path.parent

    def imported(self, form, source, *more, out="archive"):
        """`kdasr nbest import`; its exit status."""
        words = ["--format", form, "--in", *(source if isinstance(source, list) else [source])]
        words += ["--data", self.root / "data", "--tokens", self.root / "char", "--out", self.root / out, *more]
        return main(["nbest", "import", *map(str, words)])

    def lists(self, out="archive"):
        """{utterance: [(text, score), ...]} of an archive."""
        found = read_nbest(self.root / out)
        return {one["id"]: [(hyp["text"], hyp["score"]) for hyp in one["hyps"]] for one in found}

    def manifest(self, out="archive"):
        return read_manifest(self.root / out)


def ids_of(text, tokens=TOKENS):
    return [tokens.index("<space>" if letter == " " else letter) for letter in text]


# How each form holds {utterance: [(text, score), ...]}; each gives what is named by --in.


def as_kaldi(place, lists, name="kaldi"):
    for table, value in (("text", 0), ("score", 1)):
        rows = {f"{key}-{n}": hyp[value] for key, hyps in lists.items() for n, hyp in enumerate(hyps, 1)}
        place.table(f"{name}/{table}", {key: row if value == 0 else repr(row) for key, row in rows.items()})
    return place.root / name


def as_espnet(place, lists, name="espnet"):
    for job, keys in enumerate((list(lists)[::2], list(lists)[1::2]), 1):
        for n in range(1, 1 + max((len(lists[key]) for key in keys), default=0)):
            rows = {key: lists[key][n - 1] for key in keys if len(lists[key]) >= n}
            part = f"{name}/logdir/output.{job}/{n}best_recog"
            place.table(f"{part}/text", {key: text for key, (text, _) in rows.items()})
            place.table(f"{part}/score", {key: f"tensor({score!r})" for key, (_, score) in rows.items()})
            spelled = {key: " ".join("<space>" if x == " " else x for x in text) for key, (text, _) in rows.items()}
            place.table(f"{part}/token", spelled)
    return place.root / name


def as_whisper(place, lists, name="whisper"):
    (place.root / name).mkdir(exist_ok=True)
    for key, [(text, score)] in lists.items():
        segments = [{"text": f" {text}", "avg_logprob": score, "tokens": [1] * 3, "no_speech_prob": 0.1}]
        place.file(f"{name}/{key}.json", json.dumps({"segments": segments, "language": "en"}))
    return place.root / name


def as_json_lines(place, lists, name="hyps.jsonl"):
    rows = [{"id": key, "text": text, "score": score} for key, hyps in lists.items() for text, score in hyps]
    return place.file(name, "".join(f"{json.dumps(row)}\n" for row in rows))


def as_text(place, lists, name="text"):
    place.table(name, {key: text for key, [(text, _)] in lists.items()})
    return place.root / name
