"""Models that `espnet2.bin.pack` has packed into a zip, as they are published: unpacked into a model directory.

Nothing in a pack is trusted: names that lead out of the directory, links and encrypted parts are refused, each part is
compared with the checksum that the zip has of it, and no more is written than the pack says and the disk holds.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from kdasr.errors import UserError
from kdasr.models import ASR_CHECKPOINTS

META = "meta.yaml"
LARGEST_META = 1 << 20  # bytes
RESERVED = ("config.yaml", "kdasr.json")


def unpack(pack: str | Path, directory: Path) -> None:
    """Unpack a recogniser: config.yaml and its checkpoint, and all else under the path that the pack has.

    A checkpoint of another name than those that are looked for (as 54epoch.pth) gets a link valid.acc.ave.pth.

    Args:
        pack: the zip.
        directory: an empty directory.

    Raises:
        UserError: it is no pack of a recogniser, is damaged, or would write outside `directory`.
    """
    try:
        with zipfile.ZipFile(pack) as archive:
            parts = dict(_parts(pack, archive))
            config, checkpoint = _asr_files(pack, archive, parts)
            _check_room(pack, archive, directory)
            for name, info in parts.items():
                where = {config: "config.yaml", checkpoint: PurePosixPath(checkpoint).name}.get(name, name)
                target = directory / where
                if target.exists() or (name != config and where in RESERVED):
                    raise UserError(f"{pack}: holds two files that would be {where}; unpack it by hand")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, open(target, "xb") as out:  # reads no more than info.file_size
                    shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise UserError(f"{pack}: cannot be unpacked ({error}); copy it again") from None
    if PurePosixPath(checkpoint).name not in ASR_CHECKPOINTS:
        (directory / ASR_CHECKPOINTS[0]).symlink_to(PurePosixPath(checkpoint).name)


def _parts(pack: str | Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The files of a pack by name; UserError if one is not to be written."""
    seen = set()
    for info in archive.infolist():
        path = PurePosixPath(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\\" in info.filename
            or kind not in (0, stat.S_IFREG, stat.S_IFDIR)
        ):
            raise UserError(
                f"{pack}: holds {info.filename!a}, which leads out of the pack or is no plain file; do not use it"
            )
        if info.is_dir():
            continue
        if str(path) in seen:
            raise UserError(f"{pack}: holds {info.filename!a} twice; do not use it")
        seen.add(str(path))
        yield str(path), info


def _asr_files(pack: str | Path, archive: zipfile.ZipFile, parts: Mapping[str, zipfile.ZipInfo]) -> tuple[str, str]:
    """Which of the files are the configuration and the checkpoint of the recogniser, as meta.yaml says."""
    if META not in parts or parts[META].file_size > LARGEST_META:
        raise UserError(f"{pack}: has no {META}; expected a zip that espnet2.bin.pack has made")
    try:
        meta: Any = yaml.safe_load(archive.read(parts[META]))
        found = {**meta["yaml_files"], **meta["files"]}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        raise UserError(f"{pack}: its {META} names no files; copy the pack again") from None
    task = "s2t" if "s2t_train_config" in found else "asr"
    names = []
    for key in (f"{task}_train_config", f"{task}_model_file"):
        name = str(found.get(key)).lstrip("/")  # a zip has no absolute names, meta.yaml may
        if name not in parts:
            raise UserError(f"{pack}: its {META} names no {key} that it holds; expected a pack of a recogniser")
        names.append(name)
    return names[0], names[1]


def _check_room(pack: str | Path, archive: zipfile.ZipFile, directory: Path) -> None:
    """UserError if the disk has no room for all that a pack holds."""
    size, free = sum(info.file_size for info in archive.infolist()), shutil.disk_usage(directory).free
    if size > free:
        raise UserError(f"{pack}: unpacked it has {size >> 20} MiB, and {free >> 20} MiB are free; make room")
