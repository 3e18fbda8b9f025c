"""The translator's loss: stock ESPnet's for a reference; weighted sums for hypotheses; word-level KD by hand."""

import pytest
import torch
import yaml
from mt_models import SOURCE, TARGET, build, options, write_data, write_model

from kdasr.asr.settings import Distillation
from kdasr.asr.translation_task import KDTranslationTask
from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.nbest.archive import read_nbest
from kdasr.targets.select import sentence_bleu

KINDS = ["rnn_rnn", "transformer_transformer", "own_luong", "own_fed"]
SRC, SRC_LENS = torch.tensor([[2, 3, 4, 5, 6], [7, 8, 9, -1, -1]]), torch.tensor([5, 3])
TEXT, TEXT_LENS = torch.tensor([[2, 3, 4], [5, 2, -1]]), torch.tensor([3, 2])
HYPS, WEIGHTS = [[[2, 3, 4], [2, 4], [5]], [[5, 2], [3]]], [[0.5, 0.3, 0.2], [0.6, 0.4]]
QUIET = {"model_conf": {"report_bleu": False, "lsm_weight": 0.1}}


def student(kind, **kd):
    """A student that trains, but in which nothing is random."""
    model = build(kind, task=KDTranslationTask, **QUIET, kd_conf=kd).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.RNNBase):
            module.dropout = 0.0
        if hasattr(module, "dropout_rate"):
            module.dropout_rate = 0.0
    return model


def batch_of(hyps, weights):
    """Collated as ESPnet collates: flat ids, lengths, weights, padded with -1 and 0."""
    pad = lambda rows, value: torch.tensor([row + [value] * (max(map(len, rows)) - len(row)) for row in rows])  # noqa: E731
    return {
        "kd_hyps": pad([[token for hyp in one for token in hyp] for one in hyps], -1),
        "kd_hyp_lens": pad([[len(hyp) for hyp in one] for one in hyps], -1),
        "kd_weights": pad(weights, 0.0),
    }


def logprobs(model, b, hyp):
    """Log-probabilities (L, V) of a hypothesis and its end, from the stock decoder."""
    hs, lens = model.encode(SRC[b : b + 1, : SRC_LENS[b]], SRC_LENS[b : b + 1])
    logits, _ = model.decoder(hs, lens, torch.tensor([[model.sos, *hyp]]), torch.tensor([len(hyp) + 1]))
    return logits[0].log_softmax(-1)


def smoothed(logp, ys):
    """ESPnet's label smoothing of 0.1: its divergence from the smoothed target, summed over steps."""
    size = logp.shape[1]
    target = torch.full_like(logp, 0.1 / (size - 1))
    target[range(len(ys)), ys] = 0.9
    return (target * (target.log() - logp)).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_one_hypothesis_is_a_reference(kind):
    model = student(kind)
    reference, stats, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS)
    loss, own, weight = model(TEXT, TEXT_LENS, SRC, SRC_LENS, **batch_of([[[2, 3, 4]], [[5, 2]]], [[1.0], [1.0]]))
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert own["acc"].item() == pytest.approx(float(stats["acc"]))
    assert weight == 2
    by_hand = sum(smoothed(logprobs(model, b, hyp), [*hyp, model.eos]) for b, hyp in enumerate([[2, 3, 4], [5, 2]])) / 2
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_hypotheses_are_the_weighted_sum(kind):
    model = student(kind)
    together, _, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS, **batch_of(HYPS, WEIGHTS))
    apart = sum(
        weight * smoothed(logprobs(model, b, hyp), [*hyp, model.eos]) / 2
        for b in range(2)
        for hyp, weight in zip(HYPS[b], WEIGHTS[b], strict=True)
    )
    assert together.item() == pytest.approx(apart.item(), rel=1e-4)
    weights = list(model.parameters())
    for one, other in zip(
        *(torch.autograd.grad(loss, weights, allow_unused=True) for loss in (together, apart)), strict=True
    ):
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def by_hand_with_words(model, teacher, hyps, weights, share, kept=len(TARGET)):
    """(1 - share) x cross entropy with the targets + share x cross entropy with the teacher's kept tokens."""
    loss = 0.0
    for b in range(2):
        for hyp, weight in zip(hyps[b], weights[b], strict=True):
            own, theirs = logprobs(model, b, hyp), logprobs(teacher, b, hyp).detach()
            values, ids = theirs.topk(kept, -1)
            p = values.softmax(-1)
            word = (p * (p.log() - own.gather(1, ids))).sum()
            loss = loss + weight / 2 * ((1 - share) * smoothed(own, [*hyp, model.eos]) + share * word)
    return loss


@pytest.mark.parametrize("kind", KINDS)
def test_teachers_beside_the_student(kind, tmp_path):
    directory = write_model(tmp_path / "teacher", "rnn_transformer", seed=5)
    teacher = build("rnn_transformer", seed=5)
    model = student(kind, word_weight=0.4, teachers=[str(directory)])
    loss, stats, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS, **batch_of(HYPS, WEIGHTS))
    assert loss.item() == pytest.approx(by_hand_with_words(model, teacher, HYPS, WEIGHTS, 0.4).item(), rel=1e-4)
    assert stats["loss_word"] is not None and stats["loss_ctc"] is None
    # references: each its own only hypothesis
    loss, _, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS)
    references, one = [[[2, 3, 4]], [[5, 2]]], [[1.0], [1.0]]
    assert loss.item() == pytest.approx(by_hand_with_words(model, teacher, references, one, 0.4).item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["own_luong", "own_fed", "rnn_rnn", "transformer_transformer"])
def test_the_risk_of_what_nbest_finds(kind, tmp_path):
    """1 - BLEU, expected over the hypotheses of `kdasr nbest` with the same weights, and a tenth of the usual loss."""
    model = student(kind, risk_weight=0.9, risk_cost="bleu", risk_beam=3, risk_alpha=0.5, risk_maxlenratio=1.6)
    spelt = lambda ids: "".join(TARGET[number] for number in ids)  # noqa: E731
    model.spell = lambda ids: " ".join(spelt(ids))  # each letter a word
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.yaml").write_text(yaml.safe_dump(vars(options(kind))))
    torch.save(model.state_dict(), tmp_path / "m/valid.acc.ave.pth")
    write_data(tmp_path / "data", {"u0": ("abcde", "S"), "u1": ("fgh", "S")})  # SRC
    given = ["--model", tmp_path / "m", "--data", tmp_path / "data", "--out", tmp_path / "nbest"]
    search = ["--beam", "3", "--nbest", "3", "--maxlenratio", "1.6"]
    assert main([*map(str, ["nbest", *given]), *search]) == 0
    found = {record["id"]: record["hyps"] for record in read_nbest(tmp_path / "nbest")}
    loss, stats, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS)
    risk, first = 0.0, 0.0
    for b, wanted in enumerate([[2, 3, 4], [5, 2]]):
        hyps = [hyp["tokens"] for hyp in found[f"u{b}"]]
        costs = [1 - sentence_bleu(" ".join(spelt(hyp)), " ".join(spelt(wanted))) / 100 for hyp in hyps]
        steps = [logprobs(model, b, hyp)[range(len(hyp) + 1), [*hyp, model.eos]].sum() for hyp in hyps]
        masses = torch.stack(steps).exp().sqrt()
        risk = risk + (masses * (torch.tensor(costs) - sum(costs) / len(costs))).sum() / masses.sum() / 2
        first += costs[0] / 2
    assert len(found["u0"]) == 3 and stats["own_cost"].item() == pytest.approx(first, rel=1e-5)
    assert stats["loss_risk"].item() == pytest.approx(risk.item(), rel=1e-3, abs=1e-6)
    assert loss.item() == pytest.approx((0.1 * stats["loss_att"] + 0.9 * risk).item(), rel=1e-4)
    for one, other in zip(*gradients(model, stats, loss, risk), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def gradients(model, stats, loss, risk):
    """Of the decoder's weights: of the loss, and of the usual loss computed by itself and the risk."""
    model.kd = Distillation()
    usual, _, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS)
    assert usual.item() == pytest.approx(stats["loss_att"].item(), rel=1e-5)
    leaves = list(model.decoder.parameters())
    return (
        torch.autograd.grad(loss, leaves),
        torch.autograd.grad(0.1 * usual + 0.9 * risk, leaves),
    )


def test_stored_soft_targets():
    teacher, model = build("rnn_transformer", seed=5), student("own_luong", word_weight=0.4)
    kept, rows = 3, []
    for b in range(2):
        values, ids = torch.cat([logprobs(teacher, b, hyp) for hyp in HYPS[b]]).topk(kept, -1)
        rows.append(torch.cat([ids.float(), values], 1).detach())
    soft = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    loss, _, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS, kd_soft=soft, **batch_of(HYPS, WEIGHTS))
    assert loss.item() == pytest.approx(by_hand_with_words(model, teacher, HYPS, WEIGHTS, 0.4, kept).item(), rel=1e-4)


def test_validation_is_stock():
    model = student("own_luong", word_weight=0.4).eval()
    _, stats, _ = model(TEXT, TEXT_LENS, SRC, SRC_LENS)
    assert set(stats) == {"loss", "acc", "bleu"}


def test_a_teacher_of_other_tokens_is_refused(tmp_path):
    directory = write_model(tmp_path / "teacher", "own_luong")
    config = (directory / "config.yaml").read_text()
    (directory / "config.yaml").write_text(config.replace("- a\n- b\n", "- b\n- a\n"))
    model = student("own_luong", word_weight=0.4, teachers=[str(directory)])
    with pytest.raises(UserError, match="this teacher reads another source token list than its student"):
        model(TEXT, TEXT_LENS, SRC, SRC_LENS)
    (directory / "config.yaml").write_text(config.replace("- S\n- T\n", "- T\n- S\n"))
    with pytest.raises(UserError, match="has another token list than its student"):
        model(TEXT, TEXT_LENS, SRC, SRC_LENS)


def test_the_checkpoint_is_a_stock_one():
    assert student("rnn_rnn").state_dict().keys() == build("rnn_rnn").state_dict().keys()
    assert student("rnn_rnn").src_token_list == tuple(SOURCE)


@pytest.mark.parametrize("kd", [{}, {"word_weight": 0.5}])
def test_bfloat16_is_near_float32_in_training_and_not_used_elsewhere(kd):
    tables = batch_of(HYPS, WEIGHTS) if kd else {}
    if kd:
        steps = max(sum(len(hyp) + 1 for hyp in one) for one in HYPS)
        soft = torch.zeros(2, steps, 4)
        soft[:, :, :2], soft[:, :, 2:] = torch.tensor([2.0, 3.0]), torch.tensor([0.7, 0.3]).log()
        tables["kd_soft"] = soft
    model = student("own_luong", **kd)
    exact = model(TEXT, TEXT_LENS, SRC, SRC_LENS, **tables)[0]
    model.cpu_bf16 = True
    near = model(TEXT, TEXT_LENS, SRC, SRC_LENS, **tables)[0]
    assert near.dtype == torch.float32 and near.item() != exact.item()
    assert near.item() == pytest.approx(exact.item(), rel=0.02)
    near.backward()
    assert all(one.grad.dtype == torch.float32 for one in model.parameters())
    validated = model.eval()(TEXT, TEXT_LENS, SRC, SRC_LENS)[0].item()
    model.cpu_bf16 = False
    assert validated == model(TEXT, TEXT_LENS, SRC, SRC_LENS)[0].item()
