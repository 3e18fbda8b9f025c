"""Token directories and small N-best archives for `kdasr targets`, and the command called on them."""

from __future__ import annotations

import json

from kdasr.cli import main
from kdasr.nbest import archive
from kdasr.shards import claim, digest
from kdasr.targets.files import Tables

TOKENS = ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]
STATS = {"begun": 1.0, "audio_seconds": 1.0, "cpu_seconds": 1.0, "wall_seconds": 1.0, "parts": {}}
STATS |= {"grid_rows": 1, "grid_alive": 1, "peak_bytes": 1}


def ids_of(text):
    return [TOKENS.index("<space>" if char == " " else char) for char in text]


def hyp(text, score, ended="eos"):
    return {
        "tokens": ids_of(text),
        "text": text,
        "score": float(score),
        "scores": {"decoder": float(score)},
        "ended": ended,
    }


def record(key, *hyps, frames=100):
    return {"id": key, "frames": frames, "hyps": list(hyps), "duplicates": 0, "stop": "end detected"}


def write_targets(directory, chosen, record):
    """A targets directory with these Targets of each utterance."""
    directory.mkdir(exist_ok=True)
    with Tables(directory) as tables:
        for key, targets in chosen.items():
            tables.add(key, targets)
        tables.finish(record)


def write_tokens(directory, tokens=TOKENS):
    directory.mkdir(parents=True)
    (directory / "tokens.txt").write_text("".join(f"{token}\n" for token in tokens))
    (directory / "tokens.json").write_text(json.dumps({"type": "char"}))
    (directory / "nlsyms.txt").write_text("")
    return digest(directory / "tokens.txt")


def write_archive(directory, records, tokens):
    """An archive of one shard; `tokens`: the token list's digest."""
    manifest = {
        "keys": archive.keys_digest([one["id"] for one in records]),
        "utterances": len(records),
        "shards": 1,
        "shard_size": len(records),
        "search": {"nbest": 9, "normalize_length": False},
        "tokens": tokens,
    }
    claim(directory, manifest)
    archive.write_shard(directory, 0, records, STATS)
    return directory


class Place:
    """A directory with tokens, to which archives and texts are added, and in which targets are made."""

    def __init__(self, root):
        self.root = root
        self.tokens = write_tokens(root / "char")
        self.out = root / "targets"

    def nbest(self, name, *records):
        return write_archive(self.root / name, records, self.tokens)

    def text(self, name, **texts):
        (self.root / name).write_text("".join(f"{key} {text}\n" for key, text in sorted(texts.items())))
        return self.root / name

    def targets(self, *options):
        return main(["targets", "--tokens", str(self.root / "char"), "--out", str(self.out), *map(str, options)])

    def table(self, name):
        return dict(line.split(" ", 1) for line in (self.out / name).read_text().splitlines())

    def nothing_left(self):
        """Whether a refused run left nothing but its lock."""
        return not self.out.exists() and not list(self.root.glob(".*.tmp")) and not list(self.root.glob(".*.old"))
