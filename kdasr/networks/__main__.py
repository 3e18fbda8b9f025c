"""Run a stock ESPnet program with kdasr's networks known to it.

python -m kdasr.networks espnet2.bin.asr_inference --asr_train_config exp/m/config.yaml ...
python -m kdasr.networks espnet2.bin.mt_inference --mt_train_config exp/m/config.yaml ...
"""

from __future__ import annotations

import runpy
import sys

from kdasr.errors import forgiving_output
from kdasr.networks.load import register, register_lm, register_mt


def main() -> None:
    """Run it, with the words that follow its name."""
    forgiving_output()
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return
    for known in (register, register_mt, register_lm):  # a program may read models of several tasks
        known()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
