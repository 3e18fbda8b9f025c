"""The one place that knows which ESPnet this is, and how to import it quickly.

ESPnet 202511 (Python 3.11) keeps shared parts in `espnet.nets`, 202609 and later (Python 3.12) in
`espnet2.legacy.nets`; `name()` finds them in either. Importing the ASR task of either pulls in audio
front ends, speech enhancement and text-to-speech that recognition of filterbanks never touches:
`prepare()` puts stand-ins in place of those that are not installed, and postpones the heavy ones.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import sys
import types
import warnings
from typing import Any

from kdasr.errors import UserError
from kdasr.guard import guard

# Imported somewhere in ESPnet's ASR task or inference, used by none of the networks that kdasr
# trains: a stand-in will do where they are absent (no CPU build of torchaudio exists on the registry,
# ci_sdr cannot be resolved by current pip, the rest serves speech enhancement and text-to-speech).
OPTIONAL = (
    "torchaudio",
    "ci_sdr",
    "fast_bss_eval",
    "asteroid_filterbanks",
    "pyworld",
    "ctc_segmentation",
    "tacotron_cleaner",
    "jaconv",
    "pypinyin",
    "jamo",
    "g2p_en",
    "nltk",
)

# Stand-ins even where they are installed: text-to-speech, imported by the trainer for one isinstance.
NEVER = ("espnet2.gan_tts",)

# Installed and slow to import (numba, scikit-learn; g2p_en even tries to download), but needed by few models only.
POSTPONED = ("librosa", "g2p_en", "pypinyin", "jamo", "nltk", "hydra", "scipy.signal")


class _StandIn(types.ModuleType):
    """A module that is not installed: importing from it works; use of it raises an error that names the package."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        root = self.__name__.partition(".")[0]

        def absent(*_args: object, **_kwargs: object) -> None:
            raise UserError(
                f"{self.__name__}.{name}: this model needs {root}, which is not installed; pip install {root}"
            )

        # A class, not a function: ESPnet subclasses some of these names, and asks isinstance of others.
        value = type(name, (), {"__init__": absent, "__module__": self.__name__})
        setattr(self, name, value)
        return value


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins for absent packages, and lazy loaders for slow ones."""

    def __init__(self, absent: set[str]) -> None:
        self.absent = absent

    def find_spec(self, fullname: str, path: Any = None, target: object = None) -> Any:
        if fullname.partition(".")[0] in self.absent or fullname.startswith(NEVER):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if fullname in POSTPONED:
            spec = importlib.machinery.PathFinder.find_spec(fullname, path)
            if spec is not None and spec.loader is not None:
                spec.loader = importlib.util.LazyLoader(spec.loader)
                return spec
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


def prepare() -> None:
    """Make ESPnet importable on this machine, quickly and quietly; call before importing it.

    Raises:
        UserError: ESPnet or torch is not installed.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    guard()
    for package in ("torch", "espnet2"):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"{package} is not installed for {sys.executable}; run tools/install.sh")
    absent = {name for name in OPTIONAL if importlib.util.find_spec(name) is None}
    if "torchaudio" not in absent and not _imports("torchaudio"):
        # Built against another torch (a CUDA build beside a CPU torch): as good as absent.
        absent.add("torchaudio")
    sys.meta_path.insert(0, _Finder(absent))
    # ESPnet decorates everything with typeguard's run-time checks, whose instrumentation is three
    # quarters of its import time (15 of 20 s here). They find ESPnet's bugs, not its users'.
    import typeguard

    typeguard.typechecked = _unchecked
    for category in (FutureWarning, DeprecationWarning, SyntaxWarning):
        warnings.filterwarnings("ignore", category=category)
    # This module prints a line about a package for other machines whenever it is imported.
    with contextlib.redirect_stdout(io.StringIO()):
        _first(places("espnet.nets.pytorch_backend.transformer.attention"))


def _unchecked(function: Any = None, **_options: object) -> Any:
    """Stands for `typeguard.typechecked`, with and without arguments."""
    return function if function is not None else _unchecked


def _imports(package: str) -> bool:
    try:
        importlib.import_module(package)
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        return False
    return True


def name(path: str) -> Any:
    """The object `module:attribute` of ESPnet, named as 202511 names it, in whichever generation is installed.

    >>> name("espnet.nets.beam_search:BeamSearch")            # doctest: +SKIP
    """
    module, _, attribute = path.partition(":")
    prepare()
    return getattr(_first(places(module)), attribute)


def _first(candidates: list[str]) -> types.ModuleType:
    for candidate in candidates:
        try:
            return importlib.import_module(candidate)
        except ModuleNotFoundError as error:
            if error.name is None or not candidate.startswith(error.name):
                raise
    raise UserError(
        f"{candidates[0]}: not in the installed ESPnet {version()}; kdasr knows 202511 and 202609 to 202611"
    )


def places(module: str) -> list[str]:
    """The name of a module of ESPnet 202511 in each supported generation, oldest first."""
    if module.startswith("espnet.nets"):
        return [module, module.replace("espnet.nets", "espnet2.legacy.nets", 1)]
    if module.startswith("espnet.utils"):
        return [module, module.replace("espnet.utils", "espnet2.legacy.utils", 1)]
    return [module]


def version() -> str:
    """ESPnet's version, as 202511."""
    try:
        return importlib.metadata.version("espnet")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
