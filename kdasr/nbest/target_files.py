"""A targets directory on disk: tables of hypotheses and weights, and soft targets beside them.

R  rows of an utterance: a row for each token and one for <eos> of each of its hypotheses, in order
J  soft targets a row, most probable first
n  rows of one hypothesis
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr.checkpoints import checksums
from kdasr.data.matrices import write_ark
from kdasr.errors import UserError
from kdasr.files import atomic_dir, write_json, write_table
from kdasr.nbest.select import Target

if TYPE_CHECKING:
    import numpy as np

TABLES = ("hyps", "hyp_lens", "weights", "text")


def write_targets(
    out: Path,
    chosen: Mapping[str, Sequence[Target]],
    record: Mapping[str, Any],
    soft: Iterable[tuple[str, np.ndarray]] | None = None,
) -> None:
    """Write what training reads; the directory appears whole or not at all.

    Args:
        out: the directory.
        chosen: targets by utterance.
        record: of targets.json.
        soft: matrices (R, 2J) by utterance.
    """
    with atomic_dir(out) as fresh:
        if soft is not None:
            write_soft_table(fresh, out, soft)
        ids = {key: " ".join(str(i) for t in targets for i in t.tokens) for key, targets in chosen.items()}
        write_table(fresh / "hyps", ids)
        lens = {key: " ".join(str(len(t.tokens)) for t in targets) for key, targets in chosen.items()}
        write_table(fresh / "hyp_lens", lens)
        # nine digits: what float32 holds, so that they sum to one as well as it can tell
        weights = {key: " ".join(f"{t.weight:.9g}" for t in targets) for key, targets in chosen.items()}
        write_table(fresh / "weights", weights)
        write_table(fresh / "text", {key: max(targets, key=lambda t: t.weight).text for key, targets in chosen.items()})
        write_json(fresh / "targets.json", {**record, "sha256": checksums(fresh, TABLES)})


def write_soft_table(
    directory: Path, final: Path, matrices: Iterable[tuple[str, np.ndarray]], name: str = "soft"
) -> None:
    """Write soft.ark, its checksum soft.sha256 and soft.scp, or others of their form.

    Args:
        directory: where to write them.
        final: the name that the directory will have when all is written: the paths in soft.scp.
        matrices: (R, 2J) by utterance: J token ids, then J natural logarithms.
        name: of the files.
    """
    import numpy as np

    with write_ark(directory / f"{name}.ark", final / f"{name}.ark") as ark:
        for key, matrix in matrices:
            ark.add(key, np.ascontiguousarray(matrix, dtype=np.float32))  # (R, 2J)
    write_table(directory / f"{name}.scp", ark.places)


def soft_of_archives(
    archives: Sequence[str], chosen: Mapping[str, Sequence[Target]], width: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The stored soft targets of chosen hypotheses: utterance and matrix (R, 2 width).

    Args:
        archives: N-best directories, which have `width` soft targets a token or more.
        chosen: targets, each of a place in its utterance's list that ended by <eos>.
        width: how many to take.
    """
    import numpy as np

    from kdasr.nbest.archive import read_nbest

    for name in archives:
        for record in read_nbest(name, soft_targets=True):
            rows = []
            for target in chosen.get(record["id"], ()):
                ids, logp = record["hyps"][target.place]["soft"]  # (n, at least J), (n, at least J)
                if len(ids) != len(target.tokens) + 1:
                    raise UserError(f"{name}: {record['id']} has changed while it was read; make the targets again")
                rows.append(np.hstack([ids[:, :width], logp[:, :width]]))  # (n, 2J)
            if rows:
                yield record["id"], np.concatenate(rows)  # (R, 2J)
