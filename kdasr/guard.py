"""Files of other people run no code, also in libraries that read files by themselves.

kdasr's own readers neither unpickle nor run commands. ESPnet's trainer reads archives through kaldiio, which does both,
and checkpoints through torch.load, which may unpickle. `guard()` switches that off, in this process and in those
that it starts.
"""

from __future__ import annotations

import os
import types
from typing import Any, NoReturn

import kaldiio.matio
import kaldiio.utils

from kdasr.data.places import RUN_COMMANDS
from kdasr.errors import UserError


def guard() -> None:
    """Let torch load tensors and plain values alone, and kaldiio neither unpickle nor start commands."""
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    kaldiio.matio.pickle = types.SimpleNamespace(load=_no_pickle)
    if os.environ.get(RUN_COMMANDS) != "1":
        kaldiio.utils.my_popen = _no_command


def _no_pickle(*_args: Any, **_options: Any) -> NoReturn:
    raise UserError("an archive holds a pickled object, which could run a program when it is read; make it again")


def _no_command(command: bytes | str, *_args: Any, **_options: Any) -> NoReturn:
    shown = command.decode(errors="replace") if isinstance(command, bytes) else command
    raise UserError(f"{shown.strip()!r}: a command in a list is not run; give a file, or set {RUN_COMMANDS}=1")
