"""KDModel against stock ESPnet: one hypothesis of weight one is a reference; K are the weighted sum."""

import pytest
import torch
from kd_models import OWN, RNN, STOCK, batch_of, build

from kdasr.asr.model import unpack
from kdasr.asr.settings import Distillation
from kdasr.asr.soft_targets import matched, unpack_rows
from kdasr.errors import UserError
from kdasr.networks.teachers import Teachers


def test_unpack_undoes_collation():
    data = batch_of([[[2, 3], [4]], [[5]]], [[0.75, 0.25], [1.0]])
    lens = data["kd_hyp_lens"].clamp(min=0)
    assert unpack(data["kd_hyps"], lens).tolist() == [[[2, 3], [4, -1]], [[5, -1], [-1, -1]]]
    rows = torch.arange(5.0).view(1, 5, 1).repeat(2, 1, 1)  # of hypotheses of 3 and 2 rows; of one of 2
    assert unpack_rows(rows, lens + 1, 3)[0, :, :, 0].tolist() == [[0, 1, 2], [3, 4, 4]]
    assert unpack_rows(rows, lens + 1, 3)[1, 0, :2, 0].tolist() == [0, 1]


@pytest.mark.parametrize("networks", [OWN, STOCK], ids=["own", "stock"])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.4, 1.0])
def test_one_hypothesis_is_a_reference(networks, ctc_weight):
    model = build(networks, ctc_weight)
    speech, lens = torch.randn(2, 60, 20), torch.tensor([60, 50])
    text, text_lens = torch.tensor([[2, 3, 4], [5, 2, -1]]), torch.tensor([3, 2])
    reference, stats, _ = model(speech, lens, text.clone(), text_lens)
    loss, kd_stats, weight = model(speech, lens, text, text_lens, **batch_of([[[2, 3, 4]], [[5, 2]]], [[1.0], [1.0]]))
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert weight == 2
    if ctc_weight < 1:
        assert kd_stats["acc"].item() == pytest.approx(float(stats["acc"]))


@pytest.mark.parametrize("networks", [OWN, STOCK], ids=["own", "stock"])
def test_k_hypotheses_are_the_weighted_sum_of_references(networks):
    model = build(networks)
    for module in model.modules():  # batch statistics would tie an utterance to its batch mates
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    # Equal lengths: the stock encoder's convolutions read padding.
    speech, lens = torch.randn(2, 60, 20), torch.tensor([60, 60])
    hypotheses, weights = [[[2, 3, 4], [2, 4], [5]], [[5, 2], [3]]], [[0.5, 0.3, 0.2], [0.6, 0.4]]
    text, text_lens = torch.tensor([[2], [2]]), torch.tensor([1, 1])
    together, _, _ = model(speech, lens, text, text_lens, **batch_of(hypotheses, weights))
    apart = 0.0
    for b in range(2):
        for hypothesis, weight in zip(hypotheses[b], weights[b], strict=True):
            loss, _, _ = model(
                speech[b : b + 1, : lens[b]],
                lens[b : b + 1],
                torch.tensor([hypothesis]),
                torch.tensor([len(hypothesis)]),
            )
            apart = apart + weight * loss / 2
    assert together.item() == pytest.approx(apart.item(), rel=1e-4)
    gradients = [
        torch.autograd.grad(value, list(model.parameters()), retain_graph=True, allow_unused=True)
        for value in (together, apart)
    ]
    for one, other in zip(*gradients, strict=True):
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_checkpoint_is_a_stock_one():
    model = build(OWN)
    from espnet2.asr.espnet_model import ESPnetASRModel

    stock = build(OWN)
    stock.__class__ = ESPnetASRModel
    assert model.state_dict().keys() == stock.state_dict().keys()


def soft_rows(model, hypotheses, speech, lens, kept):
    """What `kdasr soft` stores: ids and log-probabilities of each step of each hypothesis, collated."""
    rows = []
    for b, one in enumerate(hypotheses):
        encoded, frames = model.encode(speech[b : b + 1, : lens[b]], lens[b : b + 1])
        mine = []
        for tokens in one:
            ys = torch.tensor([[model.sos, *tokens]])
            logits, _ = model.decoder(encoded, frames, ys, torch.tensor([ys.size(1)]))
            values, ids = logits[0].log_softmax(-1).topk(kept)
            mine.append(torch.cat([ids.float(), values], 1))
        rows.append(torch.cat(mine))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


HYPOTHESES, WEIGHTS = [[[2, 3, 4], [2, 3], [5]], [[5, 2], [3]]], [[0.5, 0.3, 0.2], [0.6, 0.4]]


@pytest.mark.parametrize("networks", [OWN, STOCK, {**OWN, **RNN}], ids=["own", "stock", "rnn"])
@pytest.mark.parametrize("kept", [7, 3])
@pytest.mark.parametrize("divergence", ["kl", "js"])
def test_stored_soft_targets_equal_the_teacher_online(networks, kept, divergence):
    """Loss and gradients, of all the vocabulary and of some of it."""
    student, teacher = build(OWN), build(networks, seed=5).eval()
    settings = Distillation(word_weight=0.4, temperature=2.0, soft_k=kept, divergence=divergence)
    speech, lens = torch.randn(2, 60, 20), torch.tensor([60, 60])
    batch = batch_of(HYPOTHESES, WEIGHTS)
    with torch.no_grad():
        batch_soft = soft_rows(teacher, HYPOTHESES, speech, lens, kept)
    student.kd = settings
    student.eval()  # dropout is zero; batch norm would see other statistics
    text = torch.tensor([[2], [2]]), torch.tensor([1, 1])
    stored, stats, _ = student(speech, lens, *text, **batch, kd_soft=batch_soft)
    student.teachers = (teachers_of([teacher]),)
    student.kd = Distillation(**{**vars(settings), "teachers": ("in memory",)})
    online, _, _ = student(speech, lens, *text, **batch)
    assert stored.item() == pytest.approx(online.item(), rel=1e-5)
    assert stats["loss_word"] > 0
    leaves = list(student.parameters())
    for one, other in zip(*(torch.autograd.grad(x, leaves, allow_unused=True) for x in (stored, online)), strict=True):
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kept", [7, 3])
def test_stored_frames_equal_the_teacher_online_and_the_formula(kept):
    student, teacher = build(OWN, ctc_weight=1.0).eval(), build(OWN, seed=5).eval()
    student.training = True  # only what asks for it: batch norm and dropout stay as they are
    speech, lens = torch.randn(2, 60, 20), torch.tensor([60, 44])
    text = torch.tensor([[2, 3], [4, -1]]), torch.tensor([2, 1])
    settings = {"ctc_word_weight": 0.25, "soft_k": kept}
    with torch.no_grad():
        encoded, frames = teacher.encode(speech, lens)
        logq = teacher.ctc.ctc_lo(encoded).log_softmax(-1)  # (B, S, V)
    values, ids = logq.topk(kept)
    student.kd = Distillation(**settings)
    stored, stats, _ = student(speech, lens, *text, kd_ctc=torch.cat([ids.float(), values], 2), kd_ctc_lengths=frames)
    student.kd, student.teachers = Distillation(**settings, teachers=("x",)), (teachers_of([teacher]),)
    online, _, _ = student(speech, lens, *text)
    assert stored.item() == pytest.approx(online.item(), rel=1e-5)
    encoded, frames = student.encode(speech, lens)
    logp = student.ctc.ctc_lo(encoded).log_softmax(-1)
    by_hand = 0.0
    for b in range(2):
        for s in range(int(frames[b])):
            q = values[b, s].softmax(-1)
            by_hand += (q * (q.log() - logp[b, s, ids[b, s]])).sum().item() / 2
    assert stats["loss_frames"].item() == pytest.approx(by_hand, rel=1e-4)
    student.kd = Distillation()
    plain, _, _ = student(speech, lens, *text)
    assert stored.item() == pytest.approx(0.75 * plain.item() + 0.25 * by_hand, rel=1e-4)


@pytest.mark.parametrize("rows", [7, 30])
def test_frames_of_another_rate_are_refused(rows):
    student = build(OWN)
    student.kd = Distillation(ctc_word_weight=0.5)
    with pytest.raises(UserError, match=f"encodes {rows} frames where the student has 15"):
        student(
            torch.randn(1, 60, 20),
            torch.tensor([60]),
            torch.tensor([[2]]),
            torch.tensor([1]),
            kd_ctc=torch.zeros(1, rows, 4),
            kd_ctc_lengths=torch.tensor([rows]),
        )


AT_40_MS = (200.0, 640.0, 16000)  # conv_rnn on that


def by_time(student, rows, teacher_frames, frames=60, **kd):
    """loss_frames of an utterance whose teacher's frames (S', V) are at these times, the student's at every 40 ms."""
    student.kd = Distillation(ctc_word_weight=0.5, teacher_frames=teacher_frames, student_frames=AT_40_MS, **kd)
    values, ids = rows.sort(1, descending=True)
    generator = torch.Generator().manual_seed(1)
    _, stats, _ = student(
        torch.randn(1, frames, 20, generator=generator),
        torch.tensor([frames]),
        torch.tensor([[2]]),
        torch.tensor([1]),
        kd_ctc=torch.cat([ids.float(), values], 1)[None],
        kd_ctc_lengths=torch.tensor([len(rows)]),
    )
    return stats["loss_frames"]


@pytest.mark.parametrize(
    ("teacher_frames", "count", "taken"),
    [
        (AT_40_MS, 15, list(range(15))),
        (AT_40_MS, 16, list(range(15))),  # one more: it is not looked at
        (AT_40_MS, 14, [*range(14), 13]),  # one fewer: the last one stands for it
        ((600.0, 640.0, 16000), 15, [0, *range(14)]),  # 37.5 ms + 40 j against 12.5 + 40 i: 15 before, or 25 behind
        ((200.0, 320.0, 16000), 29, [2 * i for i in range(15)]),  # a frame every 20 ms
        ((100.0, 640.0, 8000), 8, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7]),  # one every 80 ms; ties: the earlier
    ],
)
def test_each_frame_learns_from_the_teachers_nearest_in_time(teacher_frames, count, taken):
    student = build(OWN, ctc_weight=1.0).eval()
    student.training = True
    rows = torch.randn(count, 7, generator=torch.Generator().manual_seed(2)).log_softmax(1)
    expected = by_time(student, rows[taken], AT_40_MS)
    assert torch.equal(by_time(student, rows, teacher_frames), expected)
    assert taken == list(range(15)) or not torch.equal(by_time(student, rows[[*taken[1:], 0]], AT_40_MS), expected)
    # frames at the same times are those of a student that knows nothing of times
    student.kd = Distillation(ctc_word_weight=0.5)
    assert torch.equal(by_time(student, rows[taken], ()), expected)


@pytest.mark.parametrize("count", [7, 30])
def test_frames_of_other_audio_are_refused(count):
    rows = torch.zeros(count, 7).log_softmax(1)
    at = r"every 40 ms from 12\.5 ms\)"
    said = rf"the teacher's frames \({count}, {at} and the student's \(15, {at}"
    with pytest.raises(UserError, match=f"{said} are of audio of different lengths"):
        by_time(build(OWN), rows, AT_40_MS)


def test_in_a_batch_each_utterance_has_its_own_last_frame():
    kd = Distillation(teacher_frames=(480.0, 320.0, 16000), student_frames=(680.0, 640.0, 16000))
    found = matched(kd, torch.tensor([4, 2]), torch.tensor([7, 4]), 4)
    # 42.5 + 40 i against 30 + 20 j: (12.5 + 40 i) / 20 = 0.6, 2.6, 4.6, 6.6
    assert found.tolist() == [[1, 3, 5, 6], [1, 3, 3, 3]]
    with pytest.raises(UserError, match=r"the teacher's frames \(20, .*the student's \(2, "):
        matched(kd, torch.tensor([4, 2]), torch.tensor([7, 20]), 4)


def teachers_of(models, mean="arithmetic", weights=()):
    """Teachers of models that are in memory."""

    made = Teachers.__new__(Teachers)
    made.models, made.mean = models, mean
    made.weights = list(weights) or [1 / len(models)] * len(models)
    return made


def test_the_word_loss_by_hand():
    """One reference without hypotheses: (1 - a) cross entropy + a T^2 KL(teacher || student), summed over its steps."""
    student, teachers = build(OWN, ctc_weight=0.0, smoothing=0.0), [build(OWN, seed=s).eval() for s in (5, 6)]
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    student.kd = Distillation(word_weight=0.3, temperature=2.0, ensemble="geometric", teachers=("a", "b"))
    student.teachers = (teachers_of(teachers, "geometric", [0.25, 0.75]),)
    speech, lens, text = torch.randn(1, 60, 20), torch.tensor([60]), torch.tensor([[2, 4]])
    loss, _, _ = student(speech, lens, text, torch.tensor([2]))

    def steps(model):
        encoded, frames = model.encode(speech, lens)
        return model.decoder(encoded, frames, torch.tensor([[model.sos, 2, 4]]), torch.tensor([3]))[0][0]  # (3, V)

    own = steps(student)
    hard = -own.log_softmax(-1)[range(3), [2, 4, student.eos]].sum()
    logq = 0.25 * steps(teachers[0]).log_softmax(-1) + 0.75 * steps(teachers[1]).log_softmax(-1)
    q, p = (logq / 2).softmax(-1), (own / 2).softmax(-1)
    soft = 4 * (q * (q / p).log()).sum()
    assert loss.item() == pytest.approx((0.7 * hard + 0.3 * soft).item(), rel=1e-4)


def test_without_soft_targets_and_teachers_is_refused():
    student = build(OWN)
    student.kd = Distillation(word_weight=0.3)
    with pytest.raises(UserError, match="neither soft targets nor teachers"):
        student(torch.randn(1, 60, 20), torch.tensor([60]), torch.tensor([[2, 4]]), torch.tensor([2]))
    student.eval()  # validation looks at references alone
    student(torch.randn(1, 60, 20), torch.tensor([60]), torch.tensor([[2, 4]]), torch.tensor([2]))


def test_ctc_on_the_best_hypothesis_alone():
    model = build(OWN, ctc_weight=1.0).eval()
    speech, lens = torch.randn(1, 60, 20), torch.tensor([60])
    text = torch.tensor([[2]]), torch.tensor([1])
    model.kd = Distillation(ctc_hyps="best")
    best, _, _ = model(speech, lens, *text, **batch_of([[[2, 3], [4]]], [[0.4, 0.6]]))
    alone, _, _ = model(speech, lens, *text, **batch_of([[[4]]], [[1.0]]))
    assert best.item() == pytest.approx(alone.item(), rel=1e-6)


# The loss of a batch, written out: every utterance by itself, every hypothesis by itself, in probabilities.
