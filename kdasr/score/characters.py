"""Words cut into characters as `sclite -e utf-8 -c` cuts them.

-c scores every character of a word, and no blanks. Without `-e utf-8`, which is the same for plain ASCII, sclite cuts
other characters into their bytes, and its reports are no text any more. -c's own options (NOASCII, DH) are not here.
ESPnet's character error rate is another one: it counts `<space>` (kdasr.score.trn.char_tokens).
"""

from __future__ import annotations

from collections.abc import Sequence


def characters(words: Sequence[str]) -> tuple[str, ...]:
    """The characters of an utterance's words, without the final asterisk that sclite takes off a word first.

    sclite takes `@` for no character at all: texts that have it go through kdasr.score.network.
    """
    text = "".join(words)
    if "*" in text:
        text = "".join([word[:-1] if word[-1] == "*" and word != "*" else word for word in words])
    return tuple(text)
