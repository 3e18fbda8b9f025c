"""Soft targets: what the decoder gives by teacher forcing, aligned with the hypotheses that were kept."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nbest_models import LENGTHS, models, nbest, write_data, write_model

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.nbest import archive, soft
from kdasr.search.engine import record
from kdasr.search.grid import Found, Hypothesis

J = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("soft")
    model = write_model(root / "model", "location_lstm")
    features = models.features(LENGTHS)
    write_data(root / "data", features)
    assert nbest(root, root / "out", "--soft_targets", J) == 0
    return root, model, features


@torch.no_grad()
def forced(model, hs, tokens):
    """The decoder's log probabilities (n + 1, V) after each beginning of some tokens, <eos> last."""
    ys = torch.tensor([[model.sos, *tokens]])  # (1, n + 1)
    logits, _ = model.decoder(hs[None], torch.tensor([len(hs)]), ys, torch.tensor([ys.shape[1]]))
    return logits.log_softmax(2)[0].numpy()


def test_they_are_the_decoders_distribution(place):
    root, model, features = place
    seen, ends = 0, set()
    encoded = models.encode(model, features)
    for one, hs in zip(archive.read_nbest(root / "out", soft_targets=True), encoded, strict=True):
        for hyp in one["hyps"]:
            ids, logp = hyp["soft"]
            rows = len(hyp["tokens"]) + (hyp["ended"] == "eos")
            assert ids.shape == logp.shape == (rows, J) and logp.dtype == np.float32
            expected = forced(model, hs, hyp["tokens"])[:rows]  # (n, V)
            taken = [*hyp["tokens"], model.eos][:rows]
            assert hyp["scores"]["decoder"] == pytest.approx(expected[range(rows), taken].sum(), abs=1e-3)
            order = np.argsort(-expected, axis=1, kind="stable")[:, :J]  # (n, J)
            np.testing.assert_allclose(logp, np.take_along_axis(expected, order, 1), rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(np.take_along_axis(expected, ids.astype(int), 1), logp, rtol=1e-3, atol=1e-3)
            seen, ends = seen + 1, ends | {hyp["ended"]}
    assert seen > 10 and ends == {"eos", "maxlen"}


def test_they_change_nothing_else(place):
    root = place[0]
    assert nbest(root, root / "plain") == 0
    for shard in range(4):
        assert archive.shard_path(root / "plain", shard).read_bytes() == (
            archive.shard_path(root / "out", shard).read_bytes()
        )
    assert not list((root / "plain").glob("soft.*"))
    with pytest.raises(UserError, match=r"has no soft targets; make another archive with kdasr nbest --soft_targets J"):
        archive.read_nbest(root / "plain", soft_targets=True)


def test_merged_hypotheses_and_blanks_take_theirs_with_them():
    def hyp(tokens, first, ended="eos"):
        rows = len(tokens) + (ended == "eos")
        ids = torch.arange(first, first + 2 * rows).view(rows, 2)
        return Hypothesis(tokens, -1.0 * first, {"decoder": -1.0 * first}, ended, (ids, -ids.float()))

    found = Found([hyp([3, 4], 10), hyp([3, 0, 4], 20), hyp([0, 5, 0], 30), hyp([6], 50, "maxlen")], "maxlen", 3)
    one = record("u", 40, found, lambda ids: "".join(map(str, ids)), blank=0)
    assert [hyp["tokens"] for hyp in one["hyps"]] == [[3, 4], [5], [6]]
    assert one["duplicates"] == 1
    assert [hyp["soft"][0].tolist() for hyp in one["hyps"]] == [
        [[10, 11], [12, 13], [14, 15]],
        [[32, 33], [36, 37]],  # of the token that is left, and of <eos>
        [[50, 51]],
    ]
    assert [len(hyp["soft"][0]) for hyp in one["hyps"]] == [soft.rows_of(hyp) for hyp in one["hyps"]]
    assert "soft" not in archive.plain(one)["hyps"][0]


@given(
    rows=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), max_size=6),
    width=st.integers(1, 4),
    vocab=st.sampled_from([2, 200, 300, 60000, 70000]),
)
def test_reads_back_what_was_written(tmp_path_factory, rows, width, vocab):
    directory = tmp_path_factory.mktemp("back")
    draw = np.random.default_rng(0)
    records = []
    for number, lengths in enumerate(rows):
        hyps = []
        for length in lengths:
            logp = -np.sort(draw.exponential(30, (length, width)).astype(np.float32), axis=1)
            ids = draw.integers(0, vocab, (length, width))
            hyps.append({"tokens": [1] * length, "ended": "maxlen", "soft": (ids, logp)})
        records.append({"id": f"u{number}", "hyps": hyps})
    soft.write_soft(directory, 7, records, width)
    back = soft.read_soft(directory, 7)
    soft.check_soft(directory, 7, back, records, width)
    most = max((int(hyp["soft"][0].max(initial=0)) for one in records for hyp in one["hyps"]), default=0)
    assert back.ids.dtype == np.min_scalar_type(most)
    for u, one in enumerate(records):
        for k, hyp in enumerate(one["hyps"]):
            ids, logp = back.of(u, k)
            assert ids.tolist() == hyp["soft"][0].tolist()
            np.testing.assert_allclose(logp, hyp["soft"][1], rtol=2**-11, atol=1e-7)


def test_probability_zero_is_a_number_in_float16():
    pair = (np.array([[1, 2]]), np.array([[0.0, -1e10]], dtype=np.float32))
    packed = soft.pack([{"hyps": [{"tokens": [1], "ended": "maxlen", "soft": pair}]}], 2)
    assert packed.logp.tolist() == [[0.0, soft.LOWEST]]


def test_a_lost_file_is_made_again_with_its_shard(place, tmp_path):
    root = place[0]
    out = tmp_path / "out"
    assert nbest(root, out, "--soft_targets", J) == 0
    written = soft.soft_path(out, 1).read_bytes()
    before = archive.shard_path(out, 0).stat().st_mtime_ns
    soft.soft_path(out, 1).unlink()
    assert main(["nbest", "verify", str(out)]) == 1
    assert nbest(root, out, "--soft_targets", J) == 0
    assert soft.soft_path(out, 1).read_bytes() == written == soft.soft_path(root / "out", 1).read_bytes()
    assert archive.shard_path(out, 0).stat().st_mtime_ns == before
    assert read_json(out / "summary.json")["soft"] == read_json(root / "out" / "summary.json")["soft"]


def test_what_does_not_belong_to_the_records_is_named(tmp_path):
    def given(*lengths):
        pairs = [(np.ones((n, 2), int), -np.ones((n, 2))) for n in lengths]
        return [{"tokens": [1] * n, "ended": "maxlen", "soft": p} for n, p in zip(lengths, pairs, strict=True)]

    records = [{"id": "a", "hyps": given(2, 3)}, {"id": "b", "hyps": given(4)}]
    right = soft.pack(records, 2)
    soft.check_soft(tmp_path, 0, right, records, 2)
    rising = right.logp.copy()
    rising[3, 0] = -2.0
    for wrong, said in (
        (soft.pack([records[0], {"id": "b", "hyps": given(3)}], 2), "b has other hypotheses or tokens here"),
        (soft.pack([{"id": "a", "hyps": given(3, 2)}, records[1]], 2), "a has other hypotheses or tokens here"),
        (soft.pack(records[:1], 2), "b has other hypotheses"),
        (soft.pack([*records, records[0]], 2), "the shard has other hypotheses"),
        (right._replace(logp=rising), "no log probabilities, most probable first"),
        (right._replace(logp=right.logp * np.nan), "no log probabilities"),
        (right._replace(ids=right.ids[:, :1]), "expected 2 in each row"),
    ):
        with pytest.raises(UserError, match=r"soft.0.npz: ") as caught:
            soft.check_soft(tmp_path, 0, wrong, records, 2)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--soft_targets", 19), "--soft_targets 19: more than the model's 18 tokens; give fewer"),
        (("--soft_targets", 3, "--ctc_weight", 1), "an attention decoder to take them from; give --ctc_weight below 1"),
        (("--soft_targets", -1), "--soft_targets -1: expected 0 or more"),
    ],
)
def test_options_out_of_range_are_refused(place, tmp_path, capsys, options, said):
    assert nbest(place[0], tmp_path / "out", *options) == 1
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("nbest.*"))


def test_equally_probable_tokens_are_in_order(tmp_path):
    """Ties are no fault; a probability above 1 by more than rounding is one."""

    def of(*logp):
        return [
            {"id": "a", "hyps": [{"tokens": [1], "ended": "maxlen", "soft": (np.array([[1, 2]]), np.array([logp]))}]}
        ]

    for logp in ((-1.0, -1.0), (0.0, 0.0), (5e-4, -3.0)):
        soft.check_soft(tmp_path, 0, soft.pack(of(*logp), 2), of(*logp), 2)
    for logp in ((-1.0, -0.99), (0.01, -1.0), (0.5, 0.25)):
        with pytest.raises(UserError, match="no log probabilities, most probable first"):
            soft.check_soft(tmp_path, 0, soft.pack(of(*logp), 2), of(*logp), 2)
