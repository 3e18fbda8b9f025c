"""Writing a bundle: graphs, tokens, settings, card. kdasr.runtime.bundle reads it; docs/deploy.md describes it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from kdasr import __version__
from kdasr.data.source_text import source_tokens
from kdasr.errors import UserError
from kdasr.export import card, graphs, int8
from kdasr.export.compare import check
from kdasr.export.describe import described
from kdasr.export.example import translate_it, try_it
from kdasr.export.measure import checkpoint, measured
from kdasr.export.settings import Exporting
from kdasr.files import atomic_dir, atomic_write, write_json
from kdasr.models import find_model
from kdasr.networks.load import load_model
from kdasr.revision import revision
from kdasr.runtime.bundle import FORMAT, SEAL, SETTINGS, SOURCE_PIECES, SOURCE_TOKENS, TOKENS, seal


def export(given: Exporting) -> None:
    """Export a model, measure what was written if a set is given, and print the card's table.

    Raises:
        UserError: no model, one that cannot be exported, a set that it cannot be measured on, or other things at `out`.
    """
    zipped = given.out.suffix == ".zip"
    zip_file = given.out if zipped else given.out.with_name(f"{given.out.name}.zip")
    refuse_other_things(given.out, zipped)
    source = find_model(given.model, given.model_file)
    if source.reads and (given.nlsyms is not None or given.wsj_filter):
        raise UserError(f"--nlsyms, --wsj_filter: are for word errors, and {given.model} translates; leave them out")
    network, args = load_model(given.model, str(Path(source.checkpoint).absolute()))
    torch.set_num_threads(1)
    parts = graphs.graphs_of(network, given.model, source.bins)
    settings: dict[str, Any] = {"format": FORMAT, "kdasr": __version__, "revision": revision()}
    settings |= {"name": given.model.resolve().name, **described(given, source, network, args, parts)}
    with _fresh(given.out, zipped) as fresh:
        files = write_graphs(parts, fresh)
        check(
            parts,
            network,
            fresh / files["encoder"],
            fresh / files["decoder"] if "decoder" in files else None,
            str(given.model),
        )
        settings["networks"] = {"fp32": files}
        if given.int8:
            settings["networks"]["int8"] = write_int8(fresh, files)
        with atomic_write(fresh / TOKENS) as stream:
            stream.write("".join(f"{token}\n" for token in source.tokens))
        if source.reads:
            write_source(given.model, fresh)
        told = card.facts(given.model, network, given.licence, source.hashes[0])
        sizes = {
            name: sum((fresh / file).stat().st_size for file in each.values())
            for name, each in settings["networks"].items()
        }
        told["networks"] = {"checkpoint": {}} | {name: {"bytes": size} for name, size in sizes.items()}
        settings["card"] = told
        _finish(fresh, settings)
        if given.data is not None:
            _measure(given, fresh, settings)
        else:
            del told["networks"]["checkpoint"]
        with atomic_write(fresh / card.PAGE) as stream:
            stream.write(card.page(settings))
        _finish(fresh, settings)
        if zipped or given.zip:
            pack(fresh, zip_file)
    print(card.table(settings))
    bundle = zip_file if zipped or given.zip else given.out
    print(translate_it(bundle) if source.reads else try_it(bundle, given.example or given.data))


def write_graphs(parts: graphs.Graphs, directory: Path) -> dict[str, str]:
    """Write the graphs into a directory; their names."""
    files = {"encoder": "encoder.onnx"}
    graphs.write_encoder(parts, directory / files["encoder"])
    if parts.decoder is not None:
        files["decoder"] = "decoder.onnx"
        graphs.write_decoder(parts, directory / files["decoder"])
    return files


def write_source(model: Path, directory: Path) -> None:
    """Write the tokens of the text that a translator reads."""
    tokens = source_tokens(model)
    with atomic_write(directory / SOURCE_TOKENS) as stream:
        stream.write("".join(f"{token}\n" for token in tokens.list))
    if tokens.in_pieces:
        with atomic_write(directory / SOURCE_PIECES, "wb") as stream:
            stream.write(tokens.model)


def write_int8(directory: Path, files: dict[str, str]) -> dict[str, str]:
    """Write the graphs of a directory once more with weights in int8; their names."""
    small = {part: f"{Path(name).stem}.int8.onnx" for part, name in files.items()}
    for part, name in files.items():
        int8.quantise(directory / name, directory / small[part])
    return small


def refuse_other_things(out: Path, zipped: bool) -> None:
    """UserError if a bundle would take the place of something else, which would be lost."""
    if zipped:
        if out.exists() and not zipfile.is_zipfile(out):
            raise UserError(f"{out}: is something else than a zip, which would be lost; name another file")
    elif out.exists() and not (out / SETTINGS).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: holds other things than a bundle, which would be lost; name another directory")


def pack(directory: Path, target: Path) -> None:
    """A zip of a bundle's files."""
    with atomic_write(target, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(directory.iterdir()):
            # A fixed time: the same model gives the same zip.
            archive.writestr(zipfile.ZipInfo(path.name, (2020, 1, 1, 0, 0, 0)), path.read_bytes(), zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def _fresh(out: Path, zipped: bool) -> Iterator[Path]:
    """A directory to write into, which becomes `out`; of a zip it is thrown away."""
    if not zipped:
        with atomic_dir(out) as fresh:
            yield fresh
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def _finish(directory: Path, settings: dict[str, Any]) -> None:
    """Write bundle.json with the checksums of all other files."""
    names = sorted(path.name for path in directory.iterdir() if path.name != SETTINGS)
    sums = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}
    whole = settings | {"files": sums}
    write_json(directory / SETTINGS, whole | {SEAL: seal(whole)})


def _measure(given: Exporting, directory: Path, settings: dict[str, Any]) -> None:
    """Add to the card what the checkpoint and each network do on the set."""
    rows = settings["card"]["networks"]
    figures, texts = checkpoint(given, settings["search"])
    settings["card"]["set"] = {"name": str(given.data), "utterances": len(texts), "signature": figures.pop("signature")}
    rows["checkpoint"] |= figures
    for precision in settings["networks"]:
        figures, _ = measured(given, directory, precision, texts)
        figures.pop("signature")
        rows[precision] |= figures
