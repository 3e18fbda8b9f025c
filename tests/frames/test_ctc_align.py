"""CTC's best path against all paths; `kdasr frames align` against ESPnet's own encoding."""

import itertools

import commands
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nbest_models import models, write_data, write_model
from properties import examples

from kdasr.errors import UserError
from kdasr.files import read_json, write_json, write_table
from kdasr.frames import alignment
from kdasr.frames.ctc_align import best_path

BLANK = 1  # not 0, so that a blank taken for granted shows


def spelt(path):
    """What a path of ids spells."""
    return [token for token, _ in itertools.groupby(path) if token != BLANK]


def path_of(spans, ids, frames):
    """The path that has tokens on their spans and blanks elsewhere."""
    path = [BLANK] * frames
    for (first, last), token in zip(spans, ids, strict=True):
        path[first : last + 1] = [token] * (last - first + 1)
    return path


def score(logp, path):
    return logp[np.arange(len(path)), list(path)].sum()


@given(
    frames=st.integers(1, 6),
    ids=st.lists(st.sampled_from([0, 2]), max_size=4),
    seed=st.integers(0, 1000),
    forbidden=st.booleans(),
)
def test_best_path_is_the_best_of_all_paths(frames, ids, seed, forbidden):
    logp = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), frames))  # (S, V)
    if forbidden:
        logp[seed % frames, seed % 3] = -np.inf
    paths = [path for path in itertools.product(range(3), repeat=frames) if spelt(path) == ids]
    found = best_path(logp, ids, BLANK)
    if not paths:
        assert found is None
        return
    assert found.shape == (len(ids), 2) and (found[:, 0] <= found[:, 1]).all()
    path = path_of(found, ids, frames)
    assert spelt(path) == ids
    assert score(logp, path) == pytest.approx(max(score(logp, one) for one in paths))


@examples(150)
@given(st.integers(1, 6), st.lists(st.sampled_from([0, 2]), min_size=1, max_size=3), st.integers(0, 10**6))
def test_of_equally_probable_paths_that_of_the_rule_is_found(frames, ids, seed):
    """The end is the last token rather than the blank after it; going back, a state stays as long as it can."""
    logp = np.random.default_rng(seed).integers(-1, 1, (frames, 3)).astype(float)
    row = [BLANK, *(one for token in ids for one in (token, BLANK))]

    def ways(state, frame):
        """Best score of paths that are in a state at a frame, and of these the one of the rule."""
        if frame == 0:
            return (logp[0, row[state]], [state]) if state < 2 else (-np.inf, [])
        skips = 2 if state % 2 and state > 1 and row[state] != row[state - 2] else 1
        best, path = max(
            (ways(state - step, frame - 1) for step in range(min(skips, state) + 1)), key=lambda found: found[0]
        )
        return best + logp[frame, row[state]], [*path, state]

    ends = [ways(state, frames - 1) for state in (len(row) - 2, len(row) - 1)]
    best, path = max(ends, key=lambda found: found[0])
    found = best_path(logp, ids, BLANK)
    if best == -np.inf:
        assert found is None
        return
    places = [[frame for frame, state in enumerate(path) if state == 2 * number + 1] for number in range(len(ids))]
    assert found.tolist() == [[one[0], one[-1]] for one in places]


def test_a_token_that_cannot_be_has_a_path_nevertheless():
    logp = np.full((3, 3), -np.inf)
    logp[:, BLANK] = 0.0
    logp[1, 2] = -5.0
    assert best_path(logp, [2], BLANK).tolist() == [[1, 1]]
    for frames, ids in ((3, [0]), (3, [2, 0]), (5, [2, 2, 0]), (4, [0, 2])):
        path = path_of(best_path(np.full((frames, 3), -np.inf), ids, BLANK), ids, frames)
        assert spelt(path) == ids


def test_spans_of_a_path_by_hand():
    #            a  a  -  a  b  b  -
    best = np.array([2, 2, 1, 2, 0, 0, 1])
    logp = np.log(np.full((7, 3), 0.1) + 0.7 * np.eye(3)[best])
    assert best_path(logp, [2, 2, 0], BLANK).tolist() == [[0, 1], [3, 3], [4, 5]]


def test_a_repeated_token_needs_a_blank_between():
    logp = np.log(np.full((3, 3), 1 / 3))
    assert best_path(logp[:2], [2, 2], BLANK) is None
    assert best_path(logp, [2, 2], BLANK).tolist() == [[0, 0], [2, 2]]
    assert best_path(logp[:2], [2, 0], BLANK).tolist() == [[0, 0], [1, 1]]


def test_equally_probable_paths_give_the_same_answer():
    logp = np.zeros((5, 3))
    first = best_path(logp, [2, 0], BLANK)
    assert first.tolist() == best_path(logp.copy(), [2, 0], BLANK).tolist()
    assert spelt(path_of(first, [2, 0], 5)) == [2, 0]


LENGTHS = [60, 9, 41, 33, 3]  # frames; the last is nothing once it is subsampled by ten
TEXTS = ["abc", "abcdefgh", "", "aab cZ", "a"]


@pytest.fixture
def place(tmp_path):
    """A directory with model and data; the model and its features."""
    model = write_model(tmp_path / "model")
    features = models.features(LENGTHS)
    names = write_data(tmp_path / "data", features)
    write_table(tmp_path / "data/text", dict(zip(names, TEXTS, strict=True)))
    return tmp_path, model, features


def run(root, *more, model="model", out="ali"):
    """The verb with options."""
    commands.run("frames align", "--model", root / model, "--data", root / "data", "--out", root / out, *more)


def expected(model, x, text):
    """The line of an utterance from ESPnet's encoder, one utterance at a time."""
    with torch.no_grad():
        hs, _ = model.encode(x[None].clone(), torch.tensor([len(x)]))
        logp = model.ctc.log_softmax(hs)[0].numpy()
    tokens = [{" ": "<space>", "Z": "<unk>"}.get(character, character) for character in text]
    path = best_path(logp, [models.TOKENS.index(token) for token in tokens])
    if path is None:
        return None
    frames = [int((first + last + 1) / 2 * len(x) / len(logp)) for first, last in path]
    return list(zip(frames, tokens, strict=True))


def test_the_command_aligns_as_utterances_alone_would_be(place, capsys):
    root, model, features = place
    run(root)
    shown = capsys.readouterr().out
    found, left_out = alignment.read_alignment(root / "ali")
    lines = {f"utt{n}": expected(model, x, text) for n, (x, text) in enumerate(zip(features, TEXTS, strict=True))}
    skipped = [name for name, line in lines.items() if line is None]
    assert "utt1" in skipped and found == {name: line for name, line in lines.items() if line is not None}
    assert found["utt2"] == [] and found["utt3"][-1][1] == "<unk>" and found["utt3"][3][1] == "<space>"
    record = read_json(root / "ali/align.json")
    assert record["skipped"] == skipped == left_out and record["utterances"] == len(found)
    assert record["frames"] == sum(length for n, length in enumerate(LENGTHS) if f"utt{n}" in found)
    assert f"too short for their text: {', '.join(skipped)}\n" in shown
    run(root, "--batch_frames", 1, out="alone")
    assert (root / "alone/alignment").read_bytes() == (root / "ali/alignment").read_bytes()


def test_a_second_run_does_nothing_and_another_model_or_text_is_refused(place, capsys):
    root, _, _ = place
    run(root)
    before = (root / "ali/alignment").stat().st_mtime_ns
    capsys.readouterr()
    run(root)
    assert "aligned already" in capsys.readouterr().out
    assert (root / "ali/alignment").stat().st_mtime_ns == before
    write_model(root / "other", "transformer")
    with pytest.raises(UserError, match=r"ali: was made with another model; remove"):
        run(root, model="other")
    write_table(root / "data/text", {f"utt{n}": "b" for n in range(5)})
    with pytest.raises(UserError, match="another text"):
        run(root)


def test_an_alignment_is_known_by_all_it_was_made_from(place):
    """Weights, configuration, tokens, features and text: the first that is another one is named."""
    root, _, _ = place
    run(root)
    made = read_json(root / "ali/align.json")
    keys = ("model", "config", "token_list", "text", "inputs")
    assert len({made[key] for key in keys}) == 5 and all(isinstance(made[key], str) for key in keys)
    for key in keys:
        write_json(root / "ali/align.json", {**made, key: "0123"})
        with pytest.raises(UserError, match=f"ali: was made with another {key}; remove"):
            run(root)
    write_json(root / "ali/align.json", made)
    for path, what in (("data/feats.scp", "inputs"), ("model/valid.acc.ave.pth", "model")):
        kept = (root / path).read_bytes()
        (root / path).write_bytes(kept + b"\n")
        with pytest.raises(UserError, match=f"ali: was made with another {what}"):
            run(root)
        (root / path).write_bytes(kept)
    run(root)


def test_bad_input_is_told(place):
    root, _, _ = place
    write_table(root / "data/text", {f"utt{n}": "abcdefghijklmnabcdefghijklmn" for n in range(5)})
    with pytest.raises(UserError, match="every utterance is too short for its text, as utt0"):
        run(root)
    write_table(root / "data/text", {"utt0": "a"})
    with pytest.raises(UserError, match="utt1 is missing"):
        run(root)
    config = root / "model/config.yaml"
    config.write_text(config.read_text().replace("ctc_weight: 0.5", "ctc_weight: 0.0"))
    with pytest.raises(UserError, match="trained without CTC"):
        run(root)
    (root / "data/text").unlink()
    with pytest.raises(UserError, match="has no text"):
        run(root)
    with pytest.raises(UserError, match="--batch_frames 0"):
        run(root, "--batch_frames", 0)
    assert not list((root / "ali").glob("align*"))


@pytest.mark.parametrize("line", ["u 3", "u x:A", "u 3:", "u 5:A 4:B", "u 3:A  4:B"])
def test_an_alignment_of_another_form_is_refused(tmp_path, line):
    write_json(tmp_path / "align.json", {"skipped": []})
    (tmp_path / "alignment").write_text(line + "\n")
    with pytest.raises(UserError, match="alignment: u has"):
        alignment.read_alignment(tmp_path)


def test_an_alignment_is_read_as_written(tmp_path):
    rows = {"b": [(3, ":"), (3, "<space>"), (9, "3:x")], "B": [], "a": [(0, "A")]}
    write_table(tmp_path / "alignment", {name: alignment.written(row) for name, row in rows.items()})
    with pytest.raises(UserError, match=r"align\.json: no such file; make it first"):  # stopped before its end
        alignment.read_alignment(tmp_path)
    write_json(tmp_path / "align.json", {"skipped": ["c"]})
    found, skipped = alignment.read_alignment(tmp_path)
    assert list(found.items()) == [(name, rows[name]) for name in ("B", "a", "b")] and skipped == ["c"]
    (tmp_path / "alignment").write_text("")
    with pytest.raises(UserError, match="is empty"):
        alignment.read_alignment(tmp_path)
    with pytest.raises(UserError, match="no such file; make it first: kdasr frames align"):
        alignment.read_alignment(tmp_path / "none")
