"""kdasr: make large attention-based speech recognisers small, by knowledge distillation.

>>> import kdasr
>>> kdasr.Recognizer("student.zip").transcribe("a.wav").text   # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdasr.runtime.recognizer import Recognizer as Recognizer
    from kdasr.runtime.translator import Translator as Translator

__version__ = "0.2.0"
__all__ = ["Recognizer", "Translator", "__version__"]


def __getattr__(name: str) -> Any:
    """`kdasr.Recognizer` and `kdasr.Translator`, loaded when they are asked for: importing kdasr costs nothing."""
    if name == "Recognizer":
        from kdasr.runtime.recognizer import Recognizer

        return Recognizer
    if name == "Translator":
        from kdasr.runtime.translator import Translator

        return Translator
    raise AttributeError(f"module 'kdasr' has no attribute {name!r}")
