"""What tools/fuzz.py damages: for each reader a small valid input, made by kdasr's own writers, and a call of it.

Inputs are parts (directories), each made once in a workshop that is the working directory, from other parts if need
be. A reader's place holds copies of its parts; all paths in them are relative, and it is read with the place as
working directory. Training records how long it took, so that the bytes of kdasr.json differ from run to run.
"""

# ruff: noqa: E402 (the repository is put on the path before it is imported)
from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gzip
import hashlib
import importlib
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / part) for part in ("mt", "nbest", "search", "report"))]
sys.path.append(str(ROOT / "egs/mnist/local"))

from kdasr.cli import COMMANDS, main, run_program
from kdasr.errors import UserError
from kdasr.files import read_table, write_table
from kdasr.report import figures

RATE = 16000
SHA256, OWN_SUM = "sha256", "own sum"
LOCAL = {"idx", "image_set", "image_settings", "image_training"}  # modules of egs/mnist/local
PLAIN = {int, float, str, bool, type(None)}
Files = dict[str, bytes]  # of a place: all its files by relative path


def name_of(words: Sequence[str]) -> str:
    """What an error of these words begins with: `kdasr COMMAND`, or a program of egs/mnist/local."""
    if words[0].startswith("images_"):
        return words[0]
    return "kdasr " + next(one for one in (" ".join(words[:2]), words[0]) if one in COMMANDS)


def kdasr(words: Sequence[str]) -> int:
    """Run a command, or a program of egs/mnist/local, and return the exit status."""
    if words[0].startswith("images_"):
        return run_program(importlib.import_module(words[0].removesuffix(".py")), words[1:])
    return main(words)


class Reader(NamedTuple):
    """A file that kdasr reads, and how."""

    name: str
    target: str  # the file that is damaged
    parts: tuple[str, ...]  # what else has to be there, and the target
    read: Callable[[], Any]
    checked: str = ""  # SHA256 or OWN_SUM; empty: another text is another text

    @property
    def plain(self) -> str:
        """Its name as a file's."""
        return self.name.replace("/", "_").replace(" ", "_").replace(":", "_")


# -------------------------------------------------------------------------------------------------- reading


class Unclear(Exception):
    """A command that failed without its one line."""


def command(line: str, *results: str) -> Callable[[], Files]:
    """A call of kdasr in this process, as a reader: the files that it writes, by these patterns.

    Raises, when it is called:
        UserError: the command ended with 1 and one line that begins with its name.
        Unclear: it ended otherwise.
    """
    words = shlex.split(line)
    name = name_of(words)

    def read() -> Files:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = kdasr(words)
        said = err.getvalue()
        if status == 1 and said.startswith(f"{name}: ") and said.count("\n") == 1 and said.endswith("\n"):
            raise UserError(said.strip())
        if status:
            raise Unclear(f"status {status}, and on stderr {said[-2000:]!r}")
        if not results:
            return {"stdout": out.getvalue().encode()}
        return {str(path): path.read_bytes() for result in results for path in sorted(Path().glob(result))}

    return read


def fingerprint(value: Any) -> str:
    """A digest of all that a value holds."""
    return digest_of(value, {}).hex()


def digest_of(value: Any, known: dict[int, tuple[Any, bytes]]) -> bytes:
    """The digest of a value of any kind that a reader gives.

    Args:
        value: the value.
        known: by id, what was met before, and its digest: YAML can name one list a billion times.
    """
    if id(value) in known:
        return known[id(value)][1]
    if isinstance(value, np.ndarray | np.generic):
        said = f"{value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, list | tuple) and set(map(type, value)) <= PLAIN:
        said = repr(value).encode("utf-8", "backslashreplace")
    elif (parts := parts_of(value)) is not None:
        said = b"".join(digest_of(part, known) for part in parts)
    else:
        said = repr(value).encode("utf-8", "backslashreplace")
    found = hashlib.sha256(type(value).__name__.encode() + said).digest()
    known[id(value)] = value, found
    return found


def parts_of(value: Any) -> list[Any] | None:
    """What a value is made of; None if it has no parts."""
    if isinstance(value, Mapping):
        return [part for key in sorted(value, key=repr) for part in (key, value[key])]
    if hasattr(value, "state_dict"):
        return [dict(value.state_dict())]
    if type(value).__module__.startswith("torch") and hasattr(value, "numpy"):
        return [value.detach().numpy()]
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, argparse.Namespace):
        return [vars(value)]
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else None


# -------------------------------------------------------------------------------------------------- making


def run(line: str) -> None:
    """A command that has to work."""
    command(line)()


def part_audio() -> None:
    """One utterance in each container, and AN4's raw samples."""
    import soundfile

    from kdasr.data.sphere import write_sphere

    samples = speech(1)
    for name, coding in (("pcm.sph", "pcm"), ("ulaw.sph", "ulaw"), ("shorten.wv1", "shorten")):
        write_sphere(f"audio/{name}", samples, RATE, coding, "utt1")
    for suffix in ("wav", "flac", "aiff", "au", "w64", "caf"):
        soundfile.write(f"audio/pcm.{suffix}", samples, RATE, subtype="PCM_16")
    soundfile.write("audio/float.wav", samples / 32768, RATE, subtype="FLOAT")
    Path("audio/an4.raw").write_bytes(samples.astype(">i2").tobytes())


def speech(seed: int, count: int = 4000) -> np.ndarray:
    """Int16 samples."""
    random = np.random.default_rng(seed)
    return (6000 * np.sin(np.arange(count) / 9) + random.normal(0, 300, count)).astype(np.int16)


def part_data() -> None:
    """A Kaldi data directory of three recordings, and one of segments of them."""
    import soundfile

    data, cut = Path("data/whole"), Path("data/cut")
    places = {f"rec{k}": f"data/whole/rec{k}.wav" for k in (1, 2, 3)}
    data.mkdir()
    cut.mkdir()
    for k, place in enumerate(places.values()):
        soundfile.write(place, speech(k, 5000 + 900 * k), RATE, subtype="PCM_16")
    for where, names in ((data, list(places)), (cut, [f"{name}-{k}" for name in places for k in (1, 2)])):
        write_table(where / "wav.scp", places)
        write_table(where / "text", {name: "a b c" if k % 2 else "c a" for k, name in enumerate(names)})
        write_table(where / "utt2spk", {name: name[:4] for name in names})
        write_table(where / "spk2utt", {one: " ".join(n for n in names if n.startswith(one)) for one in places})
    spans = {"1": "0.0 0.1", "2": "0.1 0.25"}
    write_table(cut / "segments", {f"{name}-{k}": f"{name} {span}" for name in places for k, span in spans.items()})


def part_feats() -> None:
    """Features of 8 bins."""
    run("feats --data data/whole --out feats --nj 1 --bins 8")


def part_model() -> None:
    """An ESPnet model with its tokens."""
    import nbest_models
    import search_models

    from kdasr.checkpoints import write_record

    nbest_models.write_model(Path("model/m"))
    run("tokens --model model/m --out model/m/tokens")
    parameters = sum(one.numel() for one in search_models.build("kdasr").parameters())
    about = {"label": "teacher", "role": "teacher", "teacher": None, "seed": 1, "parameters": parameters}
    write_record("model/m", about)


def part_pruned() -> None:
    """A pruned model with its mask."""
    run("prune --model model/m --sparsity 0.5 --out pruned")


def part_espnet_lm() -> None:
    """A language model of ESPnet's."""
    import search_models
    import torch
    import yaml

    torch.save(search_models.build_lm("lstm").state_dict(), "espnet_lm/valid.loss.ave.pth")
    Path("espnet_lm/config.yaml").write_text(yaml.safe_dump(search_models.lm_config("lstm")), encoding="utf-8")


def part_tokens() -> None:
    """Characters, and sentencepiece."""
    text = "".join(f"utt{k} the {a} {b}\n" for k, (a, b) in enumerate([("cat", "sat"), ("dog", "ran")] * 4))
    Path("tokens/text").write_text(text, encoding="utf-8")
    Path("tokens/symbols").write_text("<noise>\n", encoding="utf-8")
    run("tokens --text tokens/text --nlsyms tokens/symbols --out tokens/char")
    run("tokens --text tokens/text --type bpe --vocab 20 --out tokens/bpe")


def part_nbest() -> None:
    """An archive, and its tables."""
    run("nbest --model model/m --data feats --out nbest/a --beam 3 --nbest 3 --nj 1")
    run("nbest export --nbest nbest/a --out nbest/kaldi")


def part_targets() -> None:
    """Targets with soft ones."""
    run("targets --nbest nbest/a --tokens model/m/tokens --out targets/t")
    run("soft --model model/m --targets targets/t --data feats --kept 2")


def part_kaldi_lists() -> None:
    """N-best lists as Kaldi's scripts write them."""
    tables = {"words_text": ["the cat", "a cat", "dog dog"], "acwt": [100.0, 130.0, 40.0]}
    tables |= {"lmwt.nolm": [2.0, 1.0, 0.5], "lmwt.lmonly": [5.0, 4.0, 0.5], "lmwt.withlm": [7.0, 5.0, 1.0]}
    for name, values in tables.items():
        write_table(f"kaldi_lists/{name}", dict(zip(("u1-1", "u1-2", "u2-1"), map(str, values), strict=True)))


def part_lm() -> None:
    """A text, its words, a model of them, and what this expects of the text."""
    rows = [f"the {a} {b} here\n" for a, b in (("cat", "sat"), ("dog", "ran"), ("cow", "ran"))] * 4
    for name in ("train", "valid"):
        Path(f"lm/{name}.txt").write_text("".join(rows), encoding="utf-8")
    run("lm words --text lm/train.txt --min_count 5 --out lm/words")
    sizes = "embed=6 hidden=8 last=6 layers=1 experts=2 streams=2 steps=6 epochs=1 rate=1"
    Path("lm/settings.yaml").write_text(sizes.replace("=", ": ").replace(" ", "\n").replace(":\n", ": ") + "\n")
    run(f"lm train --words lm/words --train lm/train.txt --valid lm/valid.txt --out lm/exp/m --set {sizes}")
    run("lm ppl --model lm/exp/m --text lm/valid.txt --out lm/exp/m/ppl")
    run("lm soft --teachers lm/exp/m --text lm/train.txt --kept 3 --out lm/soft")
    Path("lm/weights.json").write_text(json.dumps({"weights": {"score": 1.0, "lm": 0.3}}), encoding="utf-8")


def part_images() -> None:
    """MNIST's four files, plain and gzipped, the file made of them, and a small network."""
    random = np.random.default_rng(1)
    for part, count in (("train", 40), ("t10k", 20)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = random.integers(0, 256, (count, 5, 5)).astype(np.uint8)
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
            data = bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()
            for where, name, whole in (("plain", "", data), ("packed", ".gz", gzip.compress(data, mtime=0))):
                Path("images", where).mkdir(exist_ok=True)
                Path("images", where, f"{part}-{kind}-ubyte{name}").write_bytes(whole)
    run("images_data.py --mnist images/plain --out images/images.npz")
    Path("images/settings.yaml").write_text("hidden: 6\nepochs: 1\nrate: 0.01\n", encoding="utf-8")
    run("images_train.py --data images/images.npz --conf images/settings.yaml --out images/exp/m --label m")


def part_frames() -> None:
    """Frames, a network, and what it expects of them."""
    run("frames align --model model/m --data feats --out frames/ali")
    Path("frames/settings.yaml").write_text("hidden: 6\nlayers: 1\nepochs: 1\nbatch: 9\n", encoding="utf-8")
    run("frames data --feats feats --alignment frames/ali --out frames/f --left 2 --right 1 --min_count 1")
    run("frames train --data frames/f --valid frames/f --conf frames/settings.yaml --out frames/exp/m --label m")
    run("frames predict --models frames/exp/m --data frames/f --out frames/p")


def part_scores() -> None:
    """References and hypotheses in all forms."""
    texts = {"ref": ["the cat sat", "a dog <noise> ran", "no one"], "hyp": ["the cat sat down", "dog ran", "no"]}
    for side, rows in texts.items():
        names = ["aaa-1", "aaa-2", "bbb-1"]
        write_table(f"scores/{side}", dict(zip(names, rows, strict=True)))
        trn = "".join(f"{line} ({name})\n" for name, line in zip(names, rows, strict=True))
        Path(f"scores/{side}.trn").write_text(trn.replace("a dog", "{ a / the } dog"), encoding="utf-8")
    write_table("scores/utt2spk", {name: name[:3] for name in ("aaa-1", "aaa-2", "bbb-1")})
    stm = ";; CATEGORY 0 all\nf1 A s1 0.0 2.0 <o,f0> the cat sat\nf1 A s2 2.0 4.0 <o,f0> a dog ran\n"
    words = ["the", "cat", "sat", "down", "dog", "ran"]
    ctm = "".join(f"f1 A {k / 2} 0.4 {word} 0.9\n" for k, word in enumerate(words))
    for name, text in (("ref.stm", stm), ("hyp.ctm", ctm), ("symbols", "<noise>\n"), ("repairs", "dwon down\n")):
        Path("scores", name).write_text(text, encoding="utf-8")


def part_report() -> None:
    """Scored models with training logs, their figures, and a claim about them."""
    import report_inputs

    report_inputs.make_exp(Path("report"), 6)
    run("report report/exp -o report/RESULTS.md --figures report/figures.jsonl")
    systems = figures.read("report/figures.jsonl").systems.values()
    sides = [dict(zip(("role", "network", "recipe"), one.kind, strict=True)) for one in systems if one.has_facts]
    told = {"claim": "one is better", "figures": "figures.jsonl", "sets": ["test"], "tag": "beam", "expected": "better"}
    claim = told | dict(zip(("system", "control"), sides, strict=False))
    Path("report/claims.yaml").write_text(yaml.safe_dump({"claims": [claim]}), encoding="utf-8")


def part_jobs() -> None:
    """Two stages submitted to a cluster."""
    for k, (name, after) in enumerate((("1_data.log", ""), ("2_feats.log", "5")), 5):
        folder = Path(f"jobs/exp/jobs/q/{name}.20260101-000000.1")
        folder.mkdir(parents=True)
        spec = {"options": {"log": f"exp/jobs/{name}", "given": {"detach": "1", "after": after}}, "directory": "jobs"}
        (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        (folder / "id").write_text(f"{k}\n", encoding="utf-8")
        (folder / "exit.1").write_text(json.dumps({"code": 0, "host": "n1"}), encoding="utf-8")


def part_conf() -> None:
    """A training configuration, with how to learn from a teacher."""
    text = (ROOT / "egs/wsj/conf/mini_student.yaml").read_text(encoding="utf-8")
    Path("conf/student.yaml").write_text(text + "kd_conf:\n    word_weight: 0.5\n    temperature: 2.0\n")


def part_translator() -> None:
    """Parallel text, a data directory of it, a translator, and its bundle."""
    import mt_models

    drawn = mt_models.draw(6, longest=5)
    for side, texts in zip(("src", "tgt"), zip(*drawn.values(), strict=True), strict=True):
        Path(f"translator/{side}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    mt_models.write_data(Path("translator/data"), drawn)
    mt_models.write_model(Path("translator/m"), "own_luong")
    run("export --model translator/m --out translator/bundle")


def part_an4() -> None:
    """The lists and audio of a small AN4."""
    for part, speakers in (("train", ("mabc", "fdef", "mghi")), ("test", ("mxyz",))):
        ids, texts = "", ""
        for speaker in speakers:
            name = f"an36-{speaker}-b"
            folder = Path("an4", "wav", f"an4_{part}", speaker)
            folder.mkdir(parents=True)
            (folder / f"{name}.raw").write_bytes(speech(1, 900).astype(">i2").tobytes())
            ids += f"an4_{part}/{speaker}/{name}\n"
            texts += f"<s> ONE TWO </s> ({name})\n"
        Path("an4/etc").mkdir(exist_ok=True)
        Path(f"an4/etc/an4_{part}.fileids").write_text(ids, encoding="utf-8")
        Path(f"an4/etc/an4_{part}.transcription").write_text(texts, encoding="utf-8")


def part_librispeech() -> None:
    """A chapter in LibriSpeech's layout."""
    import soundfile

    chapter = Path("librispeech/train-clean-5/84/1")
    chapter.mkdir(parents=True)
    for name in ("84-1-0000", "84-1-0001"):
        soundfile.write(chapter / f"{name}.flac", speech(1, 900), RATE)
    (chapter / "84-1.trans.txt").write_text("84-1-0000 ONE TWO\n84-1-0001 THREE\n", encoding="utf-8")
    Path("librispeech/SPEAKERS.TXT").write_text("; ID\n84 | F | train-clean-5 | 8.02 | A Name\n", encoding="utf-8")


def part_commonvoice() -> None:
    """A list and clips in Common Voice's layout."""
    Path("commonvoice/clips").mkdir()
    lines = "client_id\tpath\tsentence\tlocale\n"
    for client, name in (("a1", "cv_1"), ("b2", "cv_2")):
        Path(f"commonvoice/clips/{name}.mp3").touch()  # whether it is audio is seen later
        lines += f"{client}\t{name}.mp3\tBai, ez.\teu\n"
    Path("commonvoice/train.tsv").write_text(lines, encoding="utf-8")


NEEDS = {
    "feats": ("data",),
    "pruned": ("model",),
    "nbest": ("model", "feats"),
    "targets": ("nbest", "model", "feats"),
    "frames": ("model", "feats"),
}


def make(readers: Sequence[Reader], shop: Path) -> dict[str, Files]:
    """The files of each reader's place; `shop` becomes the working directory, and holds them all."""
    from kdasr.espnet import prepare

    prepare()
    sys.argv = sys.argv[:1]  # ESPnet's get_default_config() parses the command line of the process
    shop.mkdir(parents=True)
    os.chdir(shop)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for part in dict.fromkeys(part for reader in readers for part in reader.parts):
            build(part)
    places = {}
    for reader in readers:
        found = (path for part in reader.parts for path in sorted(Path(part).rglob("*")) if path.is_file())
        places[reader.name] = {str(path): path.read_bytes() for path in found if path.name[:1] != "."}
    return places


def build(part: str) -> None:
    """Make a part and what it needs, unless it is there; paths that were made absolute become relative."""
    if Path(part).exists():
        return
    for needed in NEEDS.get(part, ()):
        build(needed)
    Path(part).mkdir()
    globals()[f"part_{part}"]()
    shop = f"{Path.cwd()}/".encode()
    for path in Path(part).rglob("*"):
        if path.is_file() and shop in (data := path.read_bytes()) and b"\0" not in data:
            path.write_bytes(data.replace(shop, b""))


# -------------------------------------------------------------------------------------------------- the readers


def audio(path: str) -> Callable[[], Any]:
    """Samples of a file, of the rate that `kdasr feats` wants, which refuses another."""

    def read() -> Any:
        from kdasr.data.audio import read_audio

        samples, rate = read_audio(path)
        if rate != RATE:
            raise UserError(f"{path}: {rate} Hz")
        return samples

    return read


def matrices(scp: str) -> dict[str, np.ndarray]:
    """All matrices of a list, as the commands take them: archives are compared with their checksums first."""
    from kdasr.data.matrices import check_archives, read_matrix
    from kdasr.data.places import parse_table

    places = parse_table(read_table(scp), scp)
    check_archives(places, "make them again")
    return {name: read_matrix(name, place) for name, place in places.items()}


def targets() -> Any:
    """What `kdasr train` takes of a targets directory, soft targets with it."""
    from kdasr.data.tokens import load_tokens
    from kdasr.shards import digest
    from kdasr.targets.check import check_targets

    own = Path("model/m/tokens")
    vocabulary = len(load_tokens(own).list)
    found = check_targets("targets/t", digest(own / "tokens.txt"), vocabulary, read_table("feats/feats.scp"))
    return found, matrices("targets/t/soft.scp")


def call(path: str, *args: Any, **options: Any) -> Callable[[], Any]:
    """A function `module:name` of kdasr, or of egs/mnist/local; what it yields is read to the end."""

    def read() -> Any:
        module, _, name = path.partition(":")
        value = getattr(importlib.import_module(module if module in LOCAL else f"kdasr.{module}"), name)(
            *args, **options
        )
        return list(value) if hasattr(value, "__next__") else value

    return read


def stored_teacher() -> Any:
    """What a student of `kdasr lm train --soft` reads."""
    from kdasr.files import read_lines
    from kdasr.lm.soft import StoredTeacher

    return StoredTeacher("lm/soft", "lm/train.txt", read_lines("lm/words/tokens.txt"), "cpu").arrays  # type: ignore


def lm_text() -> Any:
    """A text as a stream of ids, with its vocabulary."""
    from kdasr.lm.text import load_vocabulary, read_stream

    vocabulary = load_vocabulary("lm/words")
    return vocabulary, read_stream("lm/train.txt", vocabulary)


def tokens(directory: str) -> Callable[[], Any]:
    """A token directory, and its use."""

    def read() -> Any:
        from kdasr.data.tokens import load_tokens

        found = load_tokens(directory)
        return found, found.encode("the cat ran"), found.encode("<noise> zebra")

    return read


def stages() -> Any:
    """Stages submitted, as `kdasr jobs status` lists them, without asking SLURM."""
    from kdasr.jobs.chain import follow, submissions

    return follow(submissions("jobs/exp"), {})


def images_answers() -> Any:
    """What a teacher has answered on images."""
    return call("image_training:teacher_of", ["images/exp/m"], "arithmetic", 40)()


def results() -> list[bytes]:
    """RESULTS.md, but for the time at which it is made."""
    made = command("report report/exp -o out.md", "out.md")()["out.md"]
    return [line for line in made.splitlines() if b"date: " not in line]


def readers() -> list[Reader]:
    """All of them."""
    found: list[Reader] = []

    def add(read: Callable[[], Any], parts: str, *files: str, checked: str = "", label: str = "") -> None:
        """Readers of several files by one call; `checked`: those that have a SHA-256, or OWN_SUM of all."""
        for file in files:
            kind = SHA256 if Path(file).name in checked.split() else OWN_SUM if checked == OWN_SUM else ""
            found.append(Reader(f"{label}{file}", file, tuple(parts.split()), read, kind))

    for name in ("pcm.sph", "ulaw.sph", "shorten.wv1", "pcm.flac"):
        add(audio(f"audio/{name}"), "audio", f"audio/{name}", checked=OWN_SUM)
    for name in ("pcm.wav", "float.wav", "pcm.aiff", "pcm.au", "pcm.w64", "pcm.caf", "an4.raw"):
        add(audio(f"audio/{name}"), "audio", f"audio/{name}")
    feats = command(
        "feats --data data/whole --out out --nj 1 --bins 8", "out/*.scp", "out/*.ark", "out/utt2*", "out/text"
    )
    add(feats, "data", *(f"data/whole/{name}" for name in ("wav.scp", "text", "utt2spk", "rec1.wav")))
    cut = command("feats --data data/cut --out out --nj 1 --bins 8", "out/*.scp", "out/*.ark", "out/utt2*", "out/text")
    add(cut, "data", "data/cut/segments")
    tables = ("wav.scp", "text", "utt2spk", "spk2utt", "segments")
    validate = call("data.kaldi_check:validate", Path("data/cut"), feats=False)
    add(validate, "data", *(f"data/cut/{name}" for name in tables), label="validate:")
    add(command("data an4 --an4 an4 --out out --dev_speakers 1", "out/*/*"), "an4", "an4/etc/an4_train.fileids")
    add(command("data an4 --an4 an4 --out out --dev_speakers 1", "out/*/*"), "an4", "an4/etc/an4_train.transcription")
    layout = command("data librispeech --in librispeech --out out", "out/*/*")
    add(layout, "librispeech", "librispeech/SPEAKERS.TXT", "librispeech/train-clean-5/84/1/84-1.trans.txt")
    clips = command("data commonvoice --in commonvoice --out out --sets train --normalize lower", "out/*/*")
    add(clips, "commonvoice", "commonvoice/train.tsv")
    add(lambda: matrices("feats/feats.scp"), "feats", "feats/feats.scp", "feats/feats.0.ark", checked="feats.0.ark")
    add(call("data.cmvn:read_npz", "feats/cmvn.npz"), "feats", "feats/cmvn.npz", checked=OWN_SUM)
    again = command(
        "feats --data data/whole --out feats --nj 1 --bins 8", "feats/*.scp", "feats/*.ark", "feats/cmvn.npz"
    )
    add(again, "data feats", "feats/manifest.json", "feats/done.json", label="again:")
    listed = ("tokens.txt", "tokens.json", "nlsyms.txt")
    add(tokens("tokens/char"), "tokens", *(f"tokens/char/{name}" for name in listed))
    add(tokens("tokens/bpe"), "tokens", "tokens/bpe/bpe.model")
    load = call("networks.load:load_model", "model/m")
    add(load, "model", "model/m/config.yaml", "model/m/valid.acc.ave.pth", checked="valid.acc.ave.pth")
    decode = command("decode --model model/m --data feats --out out --beam 2 --nj 1", "out/text")
    add(decode, "model feats", "model/m/config.yaml", "model/m/tokens/tokens.txt", label="decode:")
    add(decode, "model feats", "feats/feats.scp", "feats/feats.0.ark", checked="feats.0.ark", label="decode:")
    prune = command("prune --model model/m --sparsity 0.5 --out out", "out/*.pth", "out/kdasr.json")
    add(prune, "model", "model/m/kdasr.json", label="prune:")
    shrink = command("shrink --model model/m --params 1k --data feats --out out", "out/*.pth", "out/config.yaml")
    add(shrink, "model feats", "model/m/config.yaml", "model/m/tokens/tokens.txt", "feats/text", label="shrink:")
    add(call("prune.mask:read_mask", "pruned/mask.pth"), "pruned", "pruned/mask.pth", checked="mask.pth")
    lm = call("networks.load:load_lm", "espnet_lm")
    add(lm, "espnet_lm", "espnet_lm/config.yaml", "espnet_lm/valid.loss.ave.pth")
    archive = ("nbest.0.jsonl", "stats.0.json", "manifest.json", "summary.json")
    read = call("nbest.archive:read_nbest", "nbest/a")
    add(read, "nbest", *(f"nbest/a/{name}" for name in archive), checked=" ".join(archive))
    add(command("nbest verify nbest/a"), "nbest", *(f"nbest/a/{name}" for name in archive), label="verify:")
    exported = call("nbest.export:read_export", "nbest/kaldi")
    add(exported, "nbest", *(f"nbest/kaldi/{name}" for name in ("export.json", "text", "tokens", "score")))
    lists = ("hyps", "hyp_lens", "weights", "text", "targets.json", "soft.scp", "soft.ark")
    add(targets, "targets model feats", *(f"targets/t/{name}" for name in lists), checked="soft.ark")
    kaldi = call("lm.kaldi_nbest:read_kaldi", "kaldi_lists")
    add(kaldi, "kaldi_lists", "kaldi_lists/words_text", "kaldi_lists/acwt", "kaldi_lists/lmwt.nolm")
    best = "valid.loss.best.pth"
    add(call("lm.model:load", "lm/exp/m"), "lm", "lm/exp/m/config.yaml", f"lm/exp/m/{best}", checked=best)
    add(lm_text, "lm", "lm/train.txt", "lm/words/tokens.txt", "lm/words/tokens.json", "lm/words/rare.txt")
    soft = ("soft.json", "ids.npy", "logq.npy", "gold.npy", "best.npy")
    add(stored_teacher, "lm", *(f"lm/soft/{name}" for name in soft), checked=" ".join(soft[1:]))
    add(call("lm.settings:read_settings", "lm/settings.yaml", []), "lm", "lm/settings.yaml")
    add(call("lm.rescore:given_weights", ["lm/weights.json"], ["score", "lm"]), "lm", "lm/weights.json")
    add(command("lm report --exp lm/exp --out out.md", "out.md"), "lm", "lm/exp/m/kdasr.json", label="lm report:")
    for kind, end in (("plain", ""), ("packed", ".gz")):
        mnist = call("idx:read_mnist", f"images/{kind}")
        add(mnist, "images", *(f"images/{kind}/train-{one}-ubyte{end}" for one in ("images-idx3", "labels-idx1")))
    add(call("image_set:load", "images/images.npz"), "images", "images/images.npz", checked=OWN_SUM)
    cut_windows = command("frames data --feats feats --alignment frames/ali --out out --left 2 --right 1", "out/*.npy")
    add(cut_windows, "frames feats", "feats/feats.0.ark", checked="feats.0.ark", label="frames data:")
    general = call("classify.specialists:read_generalist", "images/exp/m")
    add(general, "images", "images/exp/m/model.pth", "images/exp/m/kdasr.json", checked="model.pth")
    add(images_answers, "images", "images/exp/m/logits.npz", checked="logits.npz")
    add(call("image_settings:read_settings", "images/settings.yaml", []), "images", "images/settings.yaml")
    add(call("frames.settings:read_settings", "frames/settings.yaml", []), "frames", "frames/settings.yaml")
    add(
        call("frames.alignment:read_alignment", "frames/ali"), "frames", "frames/ali/alignment", "frames/ali/align.json"
    )
    arrays = ("features.npy", "starts.npy", "labels.npy")
    inputs = [f"frames/f/{name}" for name in (*arrays, "frames.json", "utterances", "tokens")]
    add(call("frames.data:load", "frames/f"), "frames", *inputs, checked=" ".join(arrays))
    add(
        call("frames.predict:load_predictions", "frames/p"), "frames", "frames/p/log_probs.npy", checked="log_probs.npy"
    )
    predict = command("frames predict --models frames/exp/m --data frames/f --out out", "out/*.npy")
    add(predict, "frames", "frames/exp/m/model.pth", "frames/exp/m/kdasr.json", checked="model.pth")
    for ref, hyp, more, targets_ in (
        ("ref.trn", "hyp.trn", "", "ref.trn hyp.trn"),
        ("ref", "hyp", "--utt2spk scores/utt2spk", "ref hyp utt2spk"),
        ("ref", "hyp", "--id_form wsj --nlsyms scores/symbols --repairs scores/repairs", "symbols repairs"),
        ("ref.stm", "hyp.ctm", "", "ref.stm hyp.ctm"),
    ):
        score = command(
            f"score --ref scores/{ref} --hyp scores/{hyp} {more} --dir out", "out/score.json", "out/per_utt"
        )
        add(score, "scores", *(f"scores/{name}" for name in targets_.split()))
    parallel = command("data parallel --src translator/src --tgt translator/tgt --out out/set", "out/set/*")
    add(parallel, "translator", "translator/src", "translator/tgt")
    decoded = command("decode --model translator/m --data translator/data --out out --beam 2 --nj 1", "out/text")
    add(decoded, "translator", "translator/data/text.src", "translator/m/config.yaml", label="translated:")
    translated = command("translate --model translator/bundle translator/src")
    add(translated, "translator", "translator/src", label="translate:")
    parts = ("bundle.json", "encoder.onnx", "decoder.onnx", "tokens.txt", "source_tokens.txt")
    add(translated, "translator", *(f"translator/bundle/{name}" for name in parts), checked=OWN_SUM)
    same = "--ref translator/data/text --hyp translator/data/text"
    bleu = command(f"score {same} --type bleu --dir out", "out/score.json")
    add(bleu, "translator", "translator/data/text", label="bleu:")
    scored = [f"decode_beam/test/{name}" for name in ("decode.json", "score_wer/score.json", "score_wer/per_utt")]
    add(results, "report", *(f"report/exp/teacher/{name}" for name in ("kdasr.json", "log/train.log", *scored)))
    claims = command("claims report/claims.yaml -o out.md", "out.md")
    add(claims, "report", "report/claims.yaml", "report/figures.jsonl", label="claims:")
    stage = "jobs/exp/jobs/q/1_data.log.20260101-000000.1"
    add(stages, "jobs", *(f"{stage}/{name}" for name in ("spec.json", "id", "exit.1")))
    conf = argparse.Namespace(config="conf/student.yaml", kd=[])
    add(call("asr.training:distillation", conf), "conf", "conf/student.yaml")
    return found
