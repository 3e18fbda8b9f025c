"""Tables of small data directories, for the tests of what reads and writes them."""

import numpy as np

SIZES = {"01a": 2, "01b": 1, "40a": 3, "46k": 2, "47a": 2}


def tables(sizes=SIZES, **more):
    utt2spk = {f"{s}c{i:04d}": s for s, n in sizes.items() for i in range(1, n + 1)}
    return {
        "utt2spk": utt2spk,
        "text": {u: f"WORDS OF {u.upper()}" for u in utt2spk},
        "wav.scp": {u: f"/audio/{u}.wv1" for u in utt2spk},
        "spk2gender": {s: "mf"[i % 2] for i, s in enumerate(sizes)},
        **more,
    }


def features(sizes=SIZES):
    made = tables(sizes)
    del made["wav.scp"]
    made["feats.scp"] = {u: f"/feats/feats.1.ark:{i}" for i, u in enumerate(made["utt2spk"])}
    made["utt2num_frames"] = {u: str(100 - i) for i, u in enumerate(made["utt2spk"])}
    made["utt2dur"] = {u: f"{1.0 - i / 100:.3f}" for i, u in enumerate(made["utt2spk"])}
    return made


def cmvn(path, count, *values):
    np.savez(path, count=np.array(count), sum=np.array(values), sum_square=np.array(values) ** 2)


def segmented():
    made = tables({"a": 2, "b": 1})
    made["segments"] = {"ac0001": "rec1 0.0 1.5", "ac0002": "rec1 1.5 2", "bc0001": "rec2 0 9"}
    made["wav.scp"] = {"rec1": "/audio/1.wav", "rec2": "/audio/2.wav"}
    return made
