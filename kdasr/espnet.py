"""The one place that knows which ESPnet this is, how to import it quickly, and how to load its models.

ESPnet 202511 (Python 3.11) keeps shared parts in `espnet.nets`, 202609 and later (Python 3.12) in
`espnet2.legacy.nets`; `name()` finds them in either. Importing the ASR task of either pulls in audio
front ends, speech enhancement and text-to-speech that recognition of filterbanks never touches:
`prepare()` puts stand-ins in place of those that are not installed, and postpones the heavy ones.

    python -m kdasr.espnet espnet2.bin.asr_inference --asr_train_config exp/m/config.yaml ...

runs a stock ESPnet program with kdasr's networks registered.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import runpy
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr import checkpoints
from kdasr.errors import UserError, forgiving_output
from kdasr.files import read_yaml
from kdasr.guard import guard

if TYPE_CHECKING:
    import argparse

    from espnet2.asr.espnet_model import ESPnetASRModel
    from espnet2.lm.abs_model import AbsLM

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

# Installed, slow to import (numba, scikit-learn; g2p_en even tries to download), and needed by few models.
POSTPONED = ("librosa", "g2p_en", "pypinyin", "jamo", "nltk", "hydra", "scipy.signal")

LARGEST = 1 << 24  # of a network's settings: units, layers, frames; a larger number would only fill the memory
OF_TRAINING = ("optim_conf", "scheduler_conf", "preprocessor_conf", "wandb_conf")

# What decodes by default, the first that is there.
LM_CHECKPOINTS = ("valid.loss.ave.pth", "valid.loss.best.pth")
ASR_CHECKPOINTS = ("valid.acc.ave.pth", "valid.acc.best.pth", *LM_CHECKPOINTS)


class _StandIn(types.ModuleType):
    """A module that is not installed: importing from it works, using what was imported says so."""

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
    # This module prints, on every start, that a package for other machines is absent.
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
    """Where a module of ESPnet 202511 stands in each supported generation, oldest first."""
    if module.startswith("espnet.nets"):
        return [module, module.replace("espnet.nets", "espnet2.legacy.nets", 1)]
    if module.startswith("espnet.utils"):
        return [module, module.replace("espnet.utils", "espnet2.legacy.utils", 1)]
    return [module]


def version() -> str:
    """ESPnet's version, as 202511."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("espnet")
    except PackageNotFoundError:
        return "(not installed)"


def register() -> Any:
    """Add kdasr's networks to ESPnet's ASR task and return that task class.

    After this, `encoder: conv_rnn` or `munim_rnn` and `decoder: attention_gru` or `munim_gru` in a config.yaml
    mean kdasr's networks for every ESPnet program in this process.
    """
    prepare()
    asr = importlib.import_module("espnet2.tasks.asr")
    from kdasr.asr.decoder import AttentionDecoder
    from kdasr.asr.encoder import ConvRNNEncoder
    from kdasr.asr.munim2018 import MunimDecoder, MunimEncoder

    # ClassChoices refuses names that it did not know when the option parser was made, so
    # they are added to its table before any parser is.
    asr.encoder_choices.classes["conv_rnn"] = ConvRNNEncoder
    asr.encoder_choices.classes["munim_rnn"] = MunimEncoder
    asr.decoder_choices.classes["attention_gru"] = AttentionDecoder
    asr.decoder_choices.classes["munim_gru"] = MunimDecoder
    return asr.ASRTask


def register_lm() -> Any:
    """Add `lm: awd_lstm` (kdasr.lm.awd) to ESPnet's LM task and return that task class."""
    prepare()
    task = importlib.import_module("espnet2.tasks.lm")
    from kdasr.lm.awd import AwdLstm

    task.lm_choices.classes["awd_lstm"] = AwdLstm
    return task.LMTask


def load_model(
    directory: str | Path, model_file: str | None = None, device: str = "cpu", finished: bool = True
) -> tuple[ESPnetASRModel, argparse.Namespace]:
    """Load a trained ESPnet ASR model, in evaluation mode.

    Args:
        directory: an ESPnet model directory: config.yaml and checkpoints.
        model_file: a checkpoint in it; by default the averaged best one.
        device: "cpu", "cuda", "cuda:1".
        finished: whether its record has to be there to compare with, or it is said that there is none.

    Raises:
        UserError: a file is missing or was changed, the config is no ASR model's, or the checkpoint lacks weights
            that the network has or has others (ESPnet itself would pass over that in silence).
    """
    import argparse

    directory = Path(directory)
    config = directory / "config.yaml"
    checkpoint = find_checkpoint(directory, model_file)
    if not config.is_file():
        raise UserError(f"{config}: no such file; {directory} is not a trained ESPnet model (train one: kdasr train)")
    if finished:
        checkpoints.check(checkpoint)
        checkpoints.check_known(config)
    args = argparse.Namespace(**read_yaml(config))
    task = register()
    # The statistics of GlobalMVN are part of the checkpoint, but its constructor reads the file:
    # a model directory that was moved keeps its own copy beside config.yaml.
    stats = (getattr(args, "normalize_conf", None) or {}).get("stats_file")
    if stats and not Path(stats).is_file():
        if not (directory / Path(stats).name).is_file():
            raise UserError(
                f"{config}: its normalize_conf names {stats}, which is gone; put the file back or beside config.yaml"
            )
        args.normalize_conf["stats_file"] = str(directory / Path(stats).name)
    return _built(task, args, checkpoint, config).to(device).eval(), args


def load_lm(directory: str | Path, lm_file: str | None = None, device: str = "cpu") -> tuple[AbsLM, argparse.Namespace]:
    """Load a trained ESPnet language model, in evaluation mode.

    Args:
        directory: an ESPnet model directory: config.yaml and checkpoints.
        lm_file: a checkpoint in it; by default the averaged best one.
        device: "cpu", "cuda", "cuda:1".

    Raises:
        UserError: as `load_model`.
    """
    import argparse

    from kdasr.models import read_config

    checkpoint = find_checkpoint(directory, lm_file, LM_CHECKPOINTS)
    checkpoints.check(checkpoint)
    args = argparse.Namespace(**read_config(directory, lm=True))
    return _built(register_lm(), args, checkpoint, Path(directory) / "config.yaml").lm.to(device).eval(), args


def _built(task: Any, args: argparse.Namespace, checkpoint: Path, config: Path) -> Any:
    """The model that a task builds, with the weights of a checkpoint, all of them; nobody's random numbers change."""
    weights = checkpoints.load_weights(checkpoint)
    model = build(task, args, config)
    check_weights(model, weights, checkpoint)
    model.load_state_dict(weights)
    for module in model.modules():
        # ESPnet's projected RNN encoder drops units even when it decodes: no two encodings would be the same.
        if type(module).__name__ == "RNNP":
            module.dropout = 0.0
    return model


def build(task: Any, args: argparse.Namespace, config: str | Path) -> Any:
    """The network that a task builds of its options; nobody's random numbers change.

    Args:
        task: ESPnet's task class.
        args: its options.
        config: where they come from, for the message.

    Raises:
        UserError: whatever is wrong with them.
    """
    import torch

    for name, value in _numbers(vars(args)):
        if abs(value) > LARGEST:
            raise UserError(f"{config}: {name} is {value}, which no network has so many of; mend it, or copy it again")
    try:
        with torch.random.fork_rng():
            return task.build_model(args)
    except UserError:
        raise
    except Exception as error:  # whatever a wrong setting makes ESPnet raise; it names no file
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{config}: no network can be built of it ({said[:200]}); mend it, or copy it again") from error


def _numbers(settings: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, int]]:
    """The whole numbers of the settings of networks: (name, value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and (inside or str(name).endswith("_conf")) and name not in OF_TRAINING:
            yield from _numbers(value, f"{inside}{name}.")
        elif isinstance(value, int) and (inside or name == "input_size"):
            yield f"{inside}{name}", value


def check_weights(model: Any, weights: dict[str, Any], where: str | Path) -> None:
    """UserError if a checkpoint lacks weights that the network has, or has others, or of another shape."""
    own = model.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    other = [key for key in own.keys() & weights.keys() if own[key].shape != weights[key].shape]
    for what, keys in (("lacks", missing), ("has unknown", extra), ("has another shape of", sorted(other))):
        if keys:
            raise UserError(
                f"{where}: {what} {keys[0]} (and {len(keys) - 1} more); it does not belong to this config.yaml"
            )


def find_checkpoint(
    directory: str | Path, model_file: str | None = None, usual: tuple[str, ...] = ASR_CHECKPOINTS
) -> Path:
    """The checkpoint to decode with: the one named, or the first that is there of the usual: averaged best, best."""
    directory = Path(directory)
    names = (model_file,) if model_file else usual
    for candidate in names:
        if (directory / candidate).is_file():
            return directory / candidate
    remedy = "" if usual is LM_CHECKPOINTS else f" (kdasr train --out {directory})"
    raise UserError(f"{directory}: none of {', '.join(names)} is there; train the model first{remedy}")


def main() -> None:
    """Run a stock ESPnet program with kdasr's networks known to it."""
    forgiving_output()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return
    register()
    program = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
