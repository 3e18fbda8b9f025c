"""What `kdasr export` is given, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError

FORMATS = ("bundle", "sherpa-onnx")
SEARCH = ("ctc_weight", "penalty", "maxlenratio", "minlenratio", "normalize_length")  # beside the beam


@dataclass(frozen=True)
class Exporting:
    """A model to export, and how.

    Raises:
        UserError: options that do not go together.
    """

    model: Path  # ESPnet model directory
    out: Path  # bundle to write: a directory, or a zip if its name ends so
    format: str = "bundle"  # or "sherpa-onnx": files for that engine, in a directory
    model_file: str | None = None  # checkpoint; None: the averaged best
    int8: bool = False  # a second, smaller network beside the first
    zip: bool = False  # a zip beside the directory, too
    data: Path | None = None  # a set with text, on which the card's rates (or BLEU) are measured
    licence: str = ""  # under which the model may be used, for the card
    beam: int = 5
    ctc_weight: float | None = None  # None: 0.3, or what a model without CTC or decoder can do
    penalty: float = 0.0
    maxlenratio: float = 0.0
    minlenratio: float = 0.0
    normalize_length: bool = False
    example: Path | None = None  # a set whose first recording the last line transcribes; None: data
    nlsyms: Path | None = None  # of the score, as for kdasr score
    wsj_filter: bool = False

    def __post_init__(self) -> None:
        if self.format == "sherpa-onnx":
            if self.zip or self.out.suffix == ".zip" or self.data is not None:
                raise UserError(
                    "--format sherpa-onnx: writes a directory, and measures nothing; leave --zip and --data out "
                    "(tools/check_sherpa.py compares its texts with those of kdasr decode)"
                )
            if asked := [name for name in SEARCH if getattr(self, name) != getattr(Exporting, name)]:
                raise UserError(f"--format sherpa-onnx: has searches of its own, greedy; leave --{asked[0]} out")
        if self.zip and self.out.suffix == ".zip":
            raise UserError(f"--zip: {self.out} is a zip already; leave --zip out, or name a directory")
        if self.data is None and (self.nlsyms is not None or self.wsj_filter):
            raise UserError("--nlsyms, --wsj_filter: are for the score on a set; name one (--data DIR)")
