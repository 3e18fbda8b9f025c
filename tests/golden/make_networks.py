"""Make golden files of texts that are more than words: `python tests/golden/make_networks.py` (needs sctk installed).

sclite_networks and sclite_forgiven (options -D -F) hold ref.trn and hyp.trn, sclite_stm ref.stm and hyp.ctm, drawn
with a fixed seed, and result.txt, the reports sum, rsum and pra that sclite printed for them (Debian 12's SCTK 2.4.10).
"""

import sys
from pathlib import Path

from kdasr.score import sclite, stm
from kdasr.score.trn import write_trn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "score"))

from drawn_texts import VOCABULARIES, networks, recordings  # noqa: E402

CASES = {"networks": (1, VOCABULARIES[1], []), "forgiven": (2, VOCABULARIES[3], ["-D", "-F"])}


def main():
    program = sclite.find()
    assert program, "install sctk first"
    for name, (seed, vocabulary, options) in CASES.items():
        directory = HERE / f"sclite_{name}"
        for file, lines in zip(("ref.trn", "hyp.trn"), networks(seed, 40, vocabulary), strict=True):
            write_trn(directory / file, lines)
        (directory / "result.txt").write_bytes(sclite.run_real(program, directory, options=options))
    directory = HERE / "sclite_stm"
    directory.mkdir(exist_ok=True)
    for file, lines in zip(("ref.stm", "hyp.ctm"), recordings(5), strict=True):
        (directory / file).write_text(lines)
    (directory / "result.txt").write_bytes(stm.real_reports(program, directory / "ref.stm", directory / "hyp.ctm"))


if __name__ == "__main__":
    main()
