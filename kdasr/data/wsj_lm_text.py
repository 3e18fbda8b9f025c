"""WSJ's text for language models: disc 13-32.1, wsj1/doc/lng_modl/lm_train/np_data, 37 million words of 1987 to 1989.

The files are compressed (.z), without punctuation, numbers in words. Lines with a mark (<s>, </p>, <art ...>) hold
nothing else; all others are sentences, and are written in capitals, as ESPnet's recipe does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from kdasr.data.wsj import find_discs
from kdasr.errors import UserError

DISC, PLACE = "13-32.1", "wsj1/doc/lng_modl/lm_train/np_data"


def disc_sentences(discs: list[Path]) -> Iterator[str]:
    """The sentences, year by year.

    Args:
        discs: as `kdasr data wsj` takes them.

    Raises:
        UserError: the disc or its text is not there, or a file cannot be read.
    """
    corpus = find_discs(discs)
    top = corpus.locate(DISC, PLACE)
    # a year is a directory: 87, 88, 89
    files = sorted(file for file in top.glob("*/*") if file.suffix.lower() == ".z") if top else []
    if not files:
        raise UserError(f"{discs[0]}: there is no {PLACE}/*/*.z on disc {DISC}; add the disc, or name another text")
    for path in files:
        with path.open("rb") as stream:
            # gzip knows both gzip's and compress's form; the file's name does not matter
            done = subprocess.run(["gzip", "-dc"], stdin=stream, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise UserError(f"{path}: cannot be decompressed ({said}); copy the disc again")
        for line in done.stdout.decode("latin-1").splitlines():
            sentence = " ".join(line.upper().split())
            if sentence and "<" not in sentence:
                yield sentence
