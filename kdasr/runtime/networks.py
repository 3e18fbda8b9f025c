"""A bundle's graphs in onnxruntime: input -> what the search needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from kdasr.errors import UserError
from kdasr.runtime.bundle import AGAIN, Bundle
from kdasr.runtime.search import Sound, States

try:
    import onnxruntime
except ModuleNotFoundError:
    raise UserError(
        "onnxruntime is not installed, which runs bundles; pip install './kdasr[runtime]', where ./kdasr is a clone of "
        "its repository"
    ) from None


class Networks:
    """The graphs of one precision; several threads may use them at once.

    Args:
        bundle: whose they are.
        precision: "fp32" or "int8".
        threads: of onnxruntime, a call.
    """

    def __init__(self, bundle: Bundle, precision: str, threads: int = 1) -> None:
        self.bundle = bundle
        files = bundle.networks[precision]
        self.encoder = self._session(files["encoder"], threads)
        self.decoder = self._session(files["decoder"], threads) if "decoder" in files else None
        self.memories = [f"memory_{i}" for i in range(bundle.memories)]
        self.states = [f"state_{i}" for i in range(bundle.states)]
        # Of what the encoder gives, the step takes what it computes with: attention by content has no use of the last.
        self.taken = {one.name for one in self.decoder.get_inputs()} if self.decoder else set()
        self.after = ["logp", *(f"next_{i}" for i in range(bundle.states))]

    def _session(self, file: str, threads: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is told here
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Weights stored in int8 become float once, when the graph is loaded, and not at every step.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        data = self.bundle.file(file)
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class of their own
            version = onnxruntime.__version__
            raise UserError(
                f"{self.bundle.path}: onnxruntime {version} cannot load {file} ({shown(error)}); {AGAIN}"
            ) from None

    def encode(self, x: np.ndarray) -> Sound | None:
        """An input (T, F) or (samples,), float32, or tokens (T,), int64; None for one that is too short."""
        if len(x) < self.bundle.shortest:
            return None
        names = ["ctc" if self.bundle.has_ctc else "frames", *self.memories, *self.states]
        try:
            out = dict(zip(names, self.encoder.run(names, {"x": x}), strict=True))
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise UserError(
                f"{self.bundle.path}: cannot encode an input of {len(x)} at once ({shown(error)}); give a shorter one"
            ) from None
        first = out[names[0]]  # (S, V) log probabilities, or (S,)
        if not all(np.isfinite(value).all() for value in out.values()):
            raise UserError(
                f"{self.bundle.path}: gives values that are not numbers; export a model that was trained well"
            )
        fixed = {name: out[name] for name in self.memories}

        def step(tokens: np.ndarray, states: States) -> tuple[np.ndarray, States]:
            given = {"tokens": tokens, **fixed, **dict(zip(self.states, states, strict=True))}
            taken = {name: value for name, value in given.items() if name in self.taken}
            logp, *after = self.decoder.run(self.after, taken)
            return logp, after

        logp = first if self.bundle.has_ctc else None
        return Sound(len(first), logp, step if self.decoder else None, [out[name] for name in self.states])


def shown(error: Exception) -> str:
    """What an error of onnxruntime says, in a line."""
    return " ".join(str(error).split())[:200]
