"""What training refuses to begin on: each fault is told with its file, its utterance and what to do."""

import time

import kaldiio
import numpy as np
import pytest
from target_inputs import TOKENS, write_targets

from kdasr.errors import UserError
from kdasr.files import read_table, write_json, write_table
from kdasr.targets.check import check_targets, parse_ids, parse_weights
from kdasr.targets.files import write_soft_table
from kdasr.targets.select import Target

V = len(TOKENS)
FEATS = {"u1": "f.ark:1", "u2": "f.ark:2", "u3": "f.ark:3"}
CHOSEN = {
    "u1": [Target([3, 4, 2, 3], "AB A", 0.75), Target([1, 5], "<unk>C", 0.25)],  # <unk> is a target like another
    "u2": [Target([5], "C", 1.0)],
}


def matrix(rows, width=2):
    ids = np.tile(np.arange(width, dtype=np.float32), (rows, 1))
    return np.hstack([ids, np.tile(-np.arange(1, width + 1, dtype=np.float32), (rows, 1))])


def soft(rows=(8, 2), width=2):
    return [("u1", matrix(rows[0], width)), ("u2", matrix(rows[1], width))]


def write(directory, matrices, chosen=CHOSEN):
    """Targets, and soft ones beside them."""
    write_targets(directory, chosen, {"settings": {"tokens": "abc"}})
    write_soft_table(directory, directory, matrices)


@pytest.fixture
def targets(tmp_path):
    write(tmp_path / "t", soft())
    return tmp_path / "t"


def check(targets, feats=FEATS):
    return check_targets(targets, "abc", V, feats)


def test_good_ones_are_read(targets):
    tables = check(targets)
    assert list(tables["hyps"]["u1"]) == [3, 4, 2, 3, 1, 5] and list(tables["hyps"]["u2"]) == [5]
    assert tables["hyp_lens"] == {"u1": [4, 2], "u2": [1]}
    assert tables["weights"] == {"u1": [0.75, 0.25], "u2": [1.0]}
    assert tables["text"] == {"u1": "AB A", "u2": "C"}
    assert {key: place.entry() for key, place in tables["soft.scp"].items()} == read_table(targets / "soft.scp")
    (targets / "soft.scp").unlink()
    assert check(targets).keys() == {"hyps", "hyp_lens", "weights", "text"}


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("hyps", "u1 3 4 2 3 1 6", "token '6', expected ids from 1 to 5"),
        ("hyps", "u1 3 4 2 3 1 0", "token '0'"),
        ("hyps", "u1 3 4 2 3 1 -2", "token '-2'"),
        ("hyps", "u1 3 4 2 3 1 2.0", "token '2.0'"),
        ("hyps", "u1 3 4 2 3  1 5", "token ''"),
        ("hyps", "u1 3 4 2 3 1 99999999999999999999", "token '99999999999999999999'"),
        ("hyps", "u1 3 4 2 3 1 A", "token 'A'"),
        ("hyps", "u1 3 4 2 3 1", "5 ids, but its lengths in hyp_lens add up to 6"),
        ("hyps", "u1", "token ''"),
        ("hyp_lens", "u1 4 3", "6 ids, but its lengths in hyp_lens add up to 7"),
        ("hyp_lens", "u1", "no hypothesis"),
        ("hyp_lens", "u1 6 0", "'6 0', expected lengths of hypotheses"),
        ("hyp_lens", "u1 7 -1", "'7 -1', expected lengths of hypotheses"),
        ("weights", "u1 1.25 -0.25", "weight -0.25"),
        ("weights", "u1 nan 1", "weight nan"),
        ("weights", "u1 inf 0", "weight inf"),
        ("weights", "u1 0 0", "weights that sum to 0, expected 1"),
        ("weights", "u1 0.5 0.502", "weights that sum to 1.002, expected 1"),
        ("weights", "u1 1", "1 weights for 2 hypotheses"),
        ("weights", "u1 0.5 0.25 0.25", "3 weights for 2 hypotheses"),
        ("weights", "u1 a b", "'a b', expected numbers"),
        ("weights", "u1", "'', expected numbers"),
    ],
)
def test_bad_rows(targets, table, row, said):
    rows = read_table(targets / table)
    write_table(targets / table, {**rows, "u1": row.partition(" ")[2]})
    with pytest.raises(UserError) as error:
        check(targets)
    where = "hyps" if "ids, but" in said else table
    assert str(error.value).startswith(f"{targets}/{where}: u1 has ") and said in str(error.value)
    assert "make the targets again" in str(error.value)


def test_weights_may_be_rounded(targets):
    write_table(targets / "weights", {"u1": "0.3333 0.6666", "u2": "1"})
    with pytest.raises(UserError, match=r"t/weights: was changed after it was written .*; make the targets again"):
        check(targets)
    write_json(targets / "targets.json", {"settings": {"tokens": "abc"}})  # of somebody's own making, no checksums
    assert check(targets)["weights"]["u1"] == [0.3333, 0.6666]


def test_another_token_list(targets):
    with pytest.raises(UserError, match=r"t/targets.json: was made with another token list"):
        check_targets(targets, "abd", V, FEATS)
    write_json(targets / "targets.json", {"settings": {}})
    with pytest.raises(UserError, match="another token list"):
        check(targets)
    (targets / "targets.json").unlink()
    with pytest.raises(UserError, match=r"targets.json: no such file"):
        check(targets)


@pytest.mark.parametrize("table", ["hyps", "hyp_lens", "weights", "text", "soft.scp"])
def test_tables_of_other_utterances(targets, table):
    rows = read_table(targets / table)
    write_table(targets / table, {key: row for key, row in rows.items() if key != "u2"})
    with pytest.raises(UserError, match=rf"t/{table}: lacks u2, which \S+ has; make the (soft )?targets again"):
        check(targets)
    write_table(targets / table, {**rows, "u3": "1"})
    lacking = "hyp_lens" if table == "hyps" else "hyps"
    with pytest.raises(UserError, match=rf"t/{lacking}: lacks u3, which {table} has"):
        check(targets)


def test_utterances_without_features(targets):
    with pytest.raises(UserError, match=r"u1 \(and 0 more\) has no features; add its set to --train"):
        check(targets, {"u2": "f.ark:2"})


def changed(place, value):
    bad = matrix(8)
    bad[place] = value
    return [("u1", bad), ("u2", matrix(2))]


@pytest.mark.parametrize(
    ("matrices", "key", "said"),
    [
        (soft(rows=(6, 2)), "u1", "shape (6, 4), expected 8 rows"),
        (soft(rows=(8, 1)), "u2", "shape (1, 4), expected 2 rows"),
        ([("u1", matrix(8)), ("u2", matrix(2, 3))], "u2", "6 columns, expected 4"),
        ([("u1", matrix(8)[:, :3]), ("u2", matrix(2))], "u1", "3 columns"),
        (changed((3, 0), 7), "u1", "token ids that are not from 0 to 6"),
        (changed((3, 0), 1.5), "u1", "token ids"),
        (changed((3, 0), -1), "u1", "token ids"),
        (changed((3, 0), np.nan), "u1", "token ids"),
        (changed((7, 3), np.nan), "u1", "no log probabilities"),
        (changed((7, 3), -np.inf), "u1", "no log probabilities"),
        (changed((7, 3), 0.01), "u1", "no log probabilities"),
    ],
)
def test_bad_soft_targets(tmp_path, matrices, key, said):
    write(tmp_path / "t", matrices)
    with pytest.raises(UserError) as error:
        check(tmp_path / "t")
    assert str(error.value).startswith(f"{tmp_path}/t/soft.scp: {key} has ") and said in str(error.value)
    assert "kdasr soft" in str(error.value)


def test_soft_targets_that_cannot_be_read(targets):
    whole = (targets / "soft.ark").read_bytes()
    (targets / "soft.ark").write_bytes(whole[:-20])
    with pytest.raises(UserError, match=r"soft.ark: was changed after it was written .*; make the soft targets again"):
        check(targets)
    (targets / "soft.sha256").unlink()  # as in directories of somebody else's
    with pytest.raises(UserError, match=r"soft.scp: u2: \S+soft.ark:\d+ cannot be read \(it is cut short"):
        check(targets)
    (targets / "soft.ark").unlink()
    with pytest.raises(UserError, match=r"soft.scp: u1: \S+soft.ark: no such file"):
        check(targets)
    marker = targets / "ran"
    write_table(targets / "soft.scp", {"u1": f"touch {marker} |", "u2": f"{targets}/soft.ark:9"})
    with pytest.raises(UserError, match="u1 is a command"):
        check(targets)
    assert not marker.exists()


def test_thousands_of_utterances_take_seconds(tmp_path):
    many = {f"u{i:05d}": [Target([3] * 60, "A" * 60, 0.2)] * 5 for i in range(3000)}
    write(tmp_path / "t", ((key, matrix(305, 5)) for key in many), many)
    before = time.process_time()
    tables = check_targets(tmp_path / "t", "abc", V, dict.fromkeys(many, ""))
    assert len(tables["hyps"]) == 3000 and time.process_time() - before < 60  # it takes two
    assert kaldiio.load_mat(tables["soft.scp"]["u02999"].entry()).shape == (305, 10)


@pytest.mark.parametrize("table", ["soft", "ctc"])
def test_changed_soft_targets_of_either_kind(targets, table):
    write_soft_table(targets, targets, soft(), "ctc")
    tables = check(targets)
    assert tables["ctc.scp"].keys() == tables["soft.scp"].keys() == {"u1", "u2"}
    path = targets / f"{table}.ark"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=rf"{table}\.ark: was changed after it was written .*kdasr soft"):
        check(targets)
    path.write_bytes(whole)
    scp = read_table(targets / f"{table}.scp")
    write_table(targets / f"{table}.scp", {"u1": scp["u2"], "u2": scp["u2"]})
    with pytest.raises(UserError, match=r"u1: its matrix is looked for at .*, which is another's"):
        check(targets)


@pytest.mark.parametrize("width", [1, V - 1, V])
def test_soft_targets_may_be_of_any_token(tmp_path, width):
    write(tmp_path / "t", soft(width=width))
    assert check(tmp_path / "t")["soft.scp"].keys() == {"u1", "u2"}
    last = [(key, np.hstack([np.full_like(m[:, :width], V - 1), m[:, width:]])) for key, m in soft(width=width)]
    write(tmp_path / "t", last)
    assert check(tmp_path / "t")


@pytest.mark.parametrize(("row", "good"), [
    ("0.5 0.4991", True), ("0.5 0.5009", True), ("0.5 0.4989", False), ("0.5 0.5011", False), ("1 0", True),
    ("0.0005 1", True), ("-0.0001 1", False),
])  # fmt: skip
def test_what_weights_may_sum_to(row, good):
    if good:
        assert parse_weights(row, [3, 2]) == [float(word) for word in row.split()]
    else:
        with pytest.raises(ValueError, match=r"has weights that sum to|has the weight"):
            parse_weights(row, [3, 2])


@pytest.mark.parametrize("vocabulary", [3, 7, 500])
def test_ids_from_one_to_the_last_but_one(vocabulary):
    assert list(parse_ids(f"1 {vocabulary - 2}", [1, 1], vocabulary)) == [1, vocabulary - 2]
    for wrong in (0, vocabulary - 1, vocabulary):
        with pytest.raises(ValueError, match=f"has the token '{wrong}', expected ids from 1 to {vocabulary - 2}"):
            parse_ids(f"1 {wrong}", [2], vocabulary)
