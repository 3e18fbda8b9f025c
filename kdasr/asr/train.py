"""`kdasr train`: a teacher or a student, with ESPnet's trainer.

Reads feature directories, a token directory and, for a student, a directory of targets, with or without
soft targets; writes an ESPnet model directory with four things more: `tokens/`, `cmvn.npz` (so that it
can be moved), `features.json` (how the features were made) and `kdasr.json` (size, seconds, seed, revision, and
what the model is: kdasr/asr/facts.py). A killed run continues from its last finished epoch.
"""

from __future__ import annotations

from pathlib import Path

from kdasr.asr import facts
from kdasr.asr.lists import check_features, prepare_data
from kdasr.asr.training import Training, claim_settings, describe, others
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json


def run(given: Training) -> None:
    """Check the inputs, train, and record what was trained."""
    out = Path(given.out)
    if "," in given.out:
        raise UserError(f"--out {given.out}: ESPnet cannot take a path with a comma; name another directory")
    facts.check(given)
    settings = describe(given)
    check_features(given, out)
    with only_writer(out):
        record = read_json(out / "kdasr.json") if (out / "kdasr.json").exists() else None
        if record is not None:
            made = record.get("settings")
            if not isinstance(made, dict) or "parameters" not in record:
                raise UserError(f"{out}/kdasr.json: is no record of a training; remove {out}, or name another --out")
            if not (differing := others(made, settings)):
                print(f"{out}: trained already ({record['parameters']:,} parameters); to train again: rm -r {out}")
                return
            raise UserError(f"{out}: holds a model of other {', '.join(differing)}; remove it, or name another --out")
        claim_settings(out, settings)
        lists = prepare_data(given, out)
        from kdasr.asr import trainer  # seconds, which nobody waits for who has named a wrong file

        trainer.train(given, out, lists, settings)
