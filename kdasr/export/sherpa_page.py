"""The page beside files for sherpa-onnx: what they are, and the lines that run them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

READ = """import numpy as np
import sherpa_onnx
import soundfile

samples, rate = soundfile.read("a.wav", dtype="float32")
"""
CTC = """recognizer = sherpa_onnx.OfflineRecognizer.from_fire_red_asr_ctc(model="ctc.onnx", tokens="tokens.txt")
stream = recognizer.create_stream()
stream.accept_waveform(rate, samples)
recognizer.decode_stream(stream)
print(stream.result.text.strip(), stream.result.timestamps)
"""
ATTENTION = """recognizer = sherpa_onnx.OfflineRecognizer.from_fire_red_asr(
    encoder="encoder.onnx", decoder="decoder.onnx", tokens="tokens_attention.txt"
)
stream = recognizer.create_stream()
stream.set_option("max_token_per_second", "{limit}")
stream.accept_waveform(rate, samples)
recognizer.decode_stream(stream)
print(stream.result.text.strip())
"""


def page(told: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
    """The page, in Markdown.

    Args:
        told: name, kdasr's version, slots, card, limit (tokens a second), seconds, batch.
        sizes: bytes of each network.
    """
    slots = told["slots"]
    rows = "\n".join(f"| {name} | {size} |" for name, size in sizes.items())
    known = "\n".join(f"| {name.replace('_', ' ')} | {value} |" for name, value in told["card"].items())
    parts = [
        f"# {told['name']}, for sherpa-onnx\n\nA speech recogniser, exported by kdasr {told['kdasr']}. Stock "
        "[sherpa-onnx](https://github.com/k2-fsa/sherpa-onnx) runs it, from C++, Python, Java, Kotlin, Swift, C#, Go, "
        "Dart, JavaScript; on Android, iOS, in a browser. It computes the features itself; audio of another rate than "
        "16000 Hz it converts. In Python, after `pip install sherpa-onnx soundfile numpy`:\n\n"
        f"```python\n{READ.replace('import numpy as np' + chr(10), '')}```\n"
    ]
    if "attention" in slots:
        parts.append(
            f"## The attention decoder, greedy\n\n```python\n{ATTENTION.format(limit=told['limit'])}```\n\n"
            "sherpa-onnx stops a stream after 8 tokens a second, which cuts off English spelt in characters: "
            f"**`max_token_per_second` has to be set** for each stream, to {told['limit']} or more. The decoder then "
            "stops where kdasr's own search does, at a token for each encoded frame. It has no timestamps. Audio may "
            f"have {told['seconds']} seconds; cut longer audio at pauses (sherpa-onnx has a voice activity detector).\n"
        )
    if "ctc" in slots:
        several = (
            "Several streams may be decoded at once, by `decode_streams`."
            if told["batch"]
            else "Decode streams one at a time: this encoder's graph takes one utterance."
        )
        parts.append(
            f"## The CTC branch, greedy\n\n```python\n{CTC}```\n\n{several} It is faster than the attention decoder, "
            "and makes more errors.\n"
        )
    parts.append(f"## Files\n\n| networks | bytes |\n|---|---|\n{rows}\n\n| | |\n|---|---|\n{known}\n")
    return "\n".join(parts)
