"""KDModel against stock ESPnet: one hypothesis of weight one is a reference; K are the weighted sum."""

import argparse
from dataclasses import fields
from random import Random

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.asr.model import unpack
from kdasr.asr.settings import Distillation
from kdasr.asr.soft_targets import matched, unpack_rows
from kdasr.asr.task import KDTask
from kdasr.errors import UserError
from kdasr.losses import COSTS, DIVERGENCES, MEANS
from kdasr.networks.load import load_model
from kdasr.networks.teachers import Teachers, encode
from kdasr.networks.teachers import names as names_of
from kdasr.score.count import count_errors
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import scorers_of
from kdasr.search.stream import search
from kdasr.targets.select import sentence_bleu

OWN = {
    "encoder": "conv_rnn",
    "encoder_conf": {"hidden_size": 8, "num_layers": 1, "conv_channels": 2, "dropout_rate": 0.0},
    "decoder": "attention_gru",
    "decoder_conf": {"hidden_size": 8, "attention_size": 4, "dropout_rate": 0.0},
}
STOCK = {
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 8,
        "num_blocks": 1,
        "dropout_rate": 0.0,
        "positional_dropout_rate": 0.0,
        "attention_dropout_rate": 0.0,
    },
    "decoder": "transformer",
    "decoder_conf": {
        "attention_heads": 2,
        "linear_units": 8,
        "num_blocks": 1,
        "dropout_rate": 0.0,
        "positional_dropout_rate": 0.0,
        "self_attention_dropout_rate": 0.0,
        "src_attention_dropout_rate": 0.0,
    },
}


RNN = {
    "decoder": "rnn",
    "decoder_conf": {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8, "att_conf": {"atype": "location"}},
}


def build(networks, ctc_weight=0.4, seed=0, smoothing=0.1):
    args = vars(KDTask.get_parser().parse_args([]))
    args.update(
        networks,
        token_list=["<blank>", "<unk>", *"abcd", "<sos/eos>"],
        input_size=20,
        normalize=None,
        model_conf={"ctc_weight": ctc_weight, "lsm_weight": smoothing},
    )
    torch.manual_seed(seed)
    return KDTask.build_model(argparse.Namespace(**args)).train()


def batch_of(hypotheses, weights):
    """Collated as ESPnet collates: flat ids, lengths, weights, padded with -1 and 0."""
    flat = [[token for hypothesis in one for token in hypothesis] for one in hypotheses]
    pad = lambda rows, value: torch.tensor([row + [value] * (max(map(len, rows)) - len(row)) for row in rows])  # noqa: E731
    return {
        "kd_hyps": pad(flat, -1),
        "kd_hyp_lens": pad([[len(h) for h in one] for one in hypotheses], -1),
        "kd_weights": pad(weights, 0.0),
    }


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
    from kdasr.networks.teachers import Teachers

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

TEACHERS = 2
DECODERS = {
    "own": OWN,
    "transformer": {**OWN, **{key: STOCK[key] for key in STOCK if key.startswith("decoder")}},
    "rnn": {**OWN, **RNN},
}


def write_teacher(directory, seed, **changes):
    """A model directory that `Teachers` loads; its features are normalised, as ESPnet does, in place."""
    args = vars(KDTask.get_parser().parse_args([]))
    directory.mkdir()
    np.savez(directory / "cmvn.npz", count=4, sum=np.full(20, 2.0), sum_square=np.full(20, 20.0))
    args.update(OWN, token_list=["<blank>", "<unk>", *"abcd", "<sos/eos>"], input_size=20, **changes)
    args.update(normalize="global_mvn", normalize_conf={"stats_file": str(directory / "cmvn.npz")})
    torch.manual_seed(seed)
    model = KDTask.build_model(argparse.Namespace(**args))
    for weight in model.parameters():
        weight.data.mul_(2.0)  # far from an even distribution
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(args))
    return directory


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Directories of teachers, their models, and students of each decoder."""
    root = tmp_path_factory.mktemp("teachers")
    directories = [write_teacher(root / f"t{number}", 10 + number) for number in range(TEACHERS)]
    two_layers = {"encoder_conf": OWN["encoder_conf"] | {"num_layers": 2}}
    students = {kind: build(networks | two_layers).eval() for kind, networks in DECODERS.items()}
    for student in students.values():
        student.training = True  # only what asks for it: batch norm and dropout stay as they are
        student.spell = words_of_tokens
    return directories, [load_model(directory)[0] for directory in directories], students


def words_of_tokens(ids):
    """Each token of the students a word."""
    return " ".join("_?abcd"[number] for number in ids)


def divergences(name, q, p):
    """Of distributions (R, V) by its formula, summed over the rows."""

    def kl(one, other):
        return (torch.xlogy(one, one) - torch.where(one > 0, one * other.log(), 0.0)).sum()

    middle = (q + p) / 2
    return {
        "kl": lambda: kl(q, p),
        "reverse_kl": lambda: kl(p, q),
        "js": lambda: (kl(q, middle) + kl(p, middle)) / 2,
        "tv": lambda: (q - p).abs().sum() / 2,
    }[name]()


def said_by(teachers, logits, kd):
    """What teachers of these logits (R, V) each say together, or the most probable tokens of it: (R, V)."""
    weights = torch.tensor(kd.ensemble_weights or [1 / len(teachers)] * len(teachers))[:, None, None]
    each = torch.stack([one.softmax(-1) for one in logits])  # (M, R, V)
    q = (each**weights).prod(0) if kd.ensemble == "geometric" else (each * weights).sum(0)
    if kd.soft_k:
        q = q * torch.zeros_like(q).scatter(1, q.topk(min(kd.soft_k, 7)).indices, 1.0)
    return q / q.sum(1, keepdim=True)


def word_level(kd, logits, q):
    """T^2 times the divergence of logits (R, V) from q, both at T, summed over the rows."""
    q = q ** (1 / kd.temperature)
    p = (logits / kd.temperature).softmax(-1)
    return kd.temperature**2 * divergences(kd.divergence, q / q.sum(1, keepdim=True), p)


def risk(student, encoded, frames, wanted):
    """Of one utterance: its hypotheses one by one, the costs in words, the definition of the expectation."""
    kd, alike = student.kd, {}
    options = SearchOptions(beam=kd.risk_beam, nbest=kd.risk_beam, ctc_weight=0.0, maxlenratio=kd.risk_maxlenratio)
    for hyp in search(encoded.detach(), frames, scorers_of(student, options), options)[0].hyps:
        tokens = [token for token in hyp.tokens if token]
        ys = torch.tensor([[student.sos, *tokens]])
        logp = student.decoder(encoded, frames, ys, torch.tensor([ys.size(1)]))[0][0].log_softmax(-1)
        alike.setdefault(words_of_tokens(tokens), logp[range(ys.size(1)), [*tokens, student.eos]].sum())
    if kd.risk_cost == "words":
        costs = count_errors([(wanted, list(alike))])[0]
    else:
        costs = [1 - sentence_bleu(text, wanted) / 100 for text in alike]
    masses = [(kd.risk_alpha * score).exp() for score in alike.values()]
    expected = sum(mass * cost for mass, cost in zip(masses, costs, strict=True)) / sum(masses)
    return expected - sum(costs) / len(costs), costs[0]


def written_out(student, teachers, utterance):
    """Loss, its parts, and the teachers' distributions of all steps and of frames, of one utterance."""
    kd, (speech, hypotheses, weights) = student.kd, utterance
    length, smoothing = torch.tensor([len(speech)]), student.criterion_att.smoothing
    below = []  # what the student's first layer gives
    hook = student.encoder.layers[0].register_forward_hook(lambda *call: below.append(call[2]))
    encoded = {model: model.encode(speech[None].clone(), length) for model in (student, *teachers)}
    hook.remove()

    def steps(model, tokens):
        ys = torch.tensor([[model.sos, *tokens]])
        return model.decoder(*encoded[model], ys, torch.tensor([ys.size(1)]))[0][0]  # (L + 1, V)

    def frames(model):
        return model.ctc.ctc_lo(encoded[model][0])[0]  # (S, V)

    hard = word = torch.zeros(())
    told = []
    for tokens, weight in zip(hypotheses, weights, strict=True):
        logits, wanted = steps(student, tokens), torch.tensor([*tokens, student.eos])
        target = torch.full_like(logits, smoothing / 6).scatter(1, wanted[:, None], 1 - smoothing)
        hard = hard + weight * divergences("kl", target, logits.softmax(-1))
        told.append(said_by(teachers, [steps(teacher, tokens).detach() for teacher in teachers], kd))
        word = word + weight * word_level(kd, logits, told[-1])
    heard = said_by(teachers, [frames(teacher).detach() for teacher in teachers], kd)
    best = [float(number == weights.index(max(weights))) for number in range(len(weights))]

    def by_ctc(by_frame):  # (S, V)
        ctc = torch.zeros(())
        for tokens, weight in zip(hypotheses, weights if kd.ctc_hyps == "all" else best, strict=True):
            logp, target = by_frame.log_softmax(-1), torch.tensor(tokens)
            sizes = [len(logp)], [len(tokens)]
            loss = torch.nn.functional.ctc_loss(logp, target, *sizes, reduction="none", zero_infinity=True)
            ctc = ctc + weight * loss
        of_frames = word_level(kd, by_frame, heard)
        return (1 - kd.ctc_word_weight) * ctc + kd.ctc_word_weight * of_frames, of_frames

    last, of_frames = by_ctc(frames(student))
    middle, _ = by_ctc(student.ctc.ctc_lo(below[0])[0])
    attention = (1 - kd.word_weight) * hard + kd.word_weight * word
    connectionist = (1 - kd.inter_weight) * last + kd.inter_weight * middle
    loss = student.ctc_weight * connectionist + (1 - student.ctc_weight) * attention
    parts = {"loss_ctc": connectionist, "loss_att": attention, "loss_word": word, "loss_frames": of_frames}
    parts["loss_middle"] = middle
    if kd.risk_weight:
        target = words_of_tokens(hypotheses[weights.index(max(weights))])
        parts["loss_risk"], parts["own_cost"] = risk(student, *encoded[student], target)
        loss = (1 - kd.risk_weight) * loss + kd.risk_weight * parts["loss_risk"]
    return loss, parts, torch.cat(told), heard


def stored(rows, kept):
    """Soft targets of steps as `kdasr soft` stores them: ids and log-probabilities of those that are kept."""
    values, ids = rows.topk(min(kept or 7, 7))
    return torch.cat([ids.float(), values.log()], 1)


def drawn(random):
    """Settings of a student, and a batch: frames and weighted hypotheses of each; every combination is as likely."""
    some = random.choice
    kd = {
        "word_weight": some([0.0, 0.3, 0.3, 1.0]),
        "ctc_word_weight": some([0.0, 0.3, 0.3, 1.0]),
        "temperature": some([0.5, 1.0, 2.0]),
        "divergence": some(DIVERGENCES),
        "soft_k": some([0, 1, 2, 3, 50]),
        "ensemble": some(MEANS),
        "ensemble_weights": some([(), (0.25, 0.75)]),
        "ctc_hyps": some(["all", "best"]),
        "cr_weight": some([0.0, 0.2]),  # both views are alike here: nothing is random
        "cr_time_masks": 1.0,
        "inter_weight": some([0.0, 0.3, 1.0]),
        "inter_layers": (1,),
        "risk_weight": some([0.0, 0.0, 0.4, 1.0]),
        "risk_beam": some([2, 3]),
        "risk_cost": some(COSTS),
        "risk_alpha": some([0.5, 1.0]),
        "risk_maxlenratio": some([0.0, 0.5]),
    }
    # whom it learns from, and records
    fixed = {"teachers", "mask", "targets", "teacher", "teacher_frames", "student_frames"}
    assert kd.keys() == {one.name for one in fields(Distillation)} - fixed
    batch = [
        (
            random.randint(8, 44),
            [
                ([random.randint(2, 5) for _ in range(random.randint(1, 4))], random.randint(0, 3))
                for _ in range(random.randint(1, 3))
            ],
        )
        for _ in range(random.randint(2, 3))
    ]
    return kd, batch


# An example is dear: a fault is shown as it was found, not by the smallest example.
@examples(40)
@given(seed=st.integers(0, 2**32))
def test_a_batch_is_the_mean_of_its_utterances_for_every_setting(taught, seed):
    random = Random(seed)
    kd, batch = drawn(random)
    ctc_weight, smoothing = random.choice([0.0, 0.4, 0.4, 1.0]), random.choice([0.0, 0.1])
    decoder, references = random.choice(["own", "own", "transformer", "transformer", "rnn"]), random.random() < 0.3
    asked = random.randint(0, TEACHERS)  # how many teachers run beside the student; 0: their answers were stored
    directories, models, students = taught
    student, teachers = students[decoder], models[: asked or 1]
    kd |= {"ensemble_weights": kd["ensemble_weights"] if asked == TEACHERS else ()}
    if kd["divergence"] == "reverse_kl":
        kd["soft_k"] = 0
    student.kd = Distillation(**kd, teachers=tuple(map(str, directories[:asked])))
    student.teachers = student.own_beam = ()
    student.middle = (1,) if kd["inter_weight"] else ()
    student.ctc_weight = ctc_weight
    student.criterion_att.smoothing, student.criterion_att.confidence = smoothing, 1 - smoothing
    generator = torch.Generator().manual_seed(sum(frames for frames, _ in batch))
    utterances = []
    for frames, hypotheses in batch:
        tokens, counts = zip(*(hypotheses[:1] if references else hypotheses), strict=True)
        counts = [counts[0] + 1, *counts[1:]]  # the first one is there, whatever became of the others
        weights = [count / sum(counts) for count in counts]
        utterances.append((torch.randn(frames, 20, generator=generator), list(tokens), weights))
    alone = [written_out(student, teachers, utterance) for utterance in utterances]
    # collated, with noise where the padding is: it must not matter
    longest = max(len(speech) for speech, _, _ in utterances)
    speech = torch.full((len(batch), longest, 20), 9.0)
    for row, (one, _, _) in zip(speech, utterances, strict=True):
        row[: len(one)] = one
    given = batch_of([tokens for _, tokens, _ in utterances], [weights for _, _, weights in utterances])
    text, text_lengths = torch.full((len(batch), 1), 2), torch.ones(len(batch), dtype=torch.long)
    if references:
        text, text_lengths = given["kd_hyps"], given["kd_hyp_lens"][:, 0]
        given = {}
    if not asked:

        def pad(rows):  # with rows behind all utterances that are of no token: they must not be looked at
            rows = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
            return torch.nn.functional.pad(rows, (0, 0, 0, 2), value=-1.0)

        given["kd_soft"] = pad([stored(rows, kd["soft_k"]) for _, _, rows, _ in alone])
        given["kd_ctc"] = pad([stored(rows, kd["soft_k"]) for _, _, _, rows in alone])
        given["kd_ctc_lengths"] = torch.tensor([len(rows) for _, _, _, rows in alone])
    loss, stats, weight = student(
        speech, torch.tensor([len(one) for one, _, _ in utterances]), text, text_lengths, **given
    )
    assert weight == len(batch)
    expected = sum(one for one, _, _, _ in alone) / len(batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
    assert ("loss_risk" in stats) == (kd["risk_weight"] > 0)
    for name in ("loss_ctc", "loss_att", "loss_word", "loss_frames", "loss_middle", "loss_risk", "own_cost"):
        if stats.get(name) is not None:
            part = sum(torch.as_tensor(parts[name]).item() for _, parts, _, _ in alone) / len(batch)
            assert float(stats[name]) == pytest.approx(part, rel=1e-4, abs=1e-5), name
    leaves = [student.encoder.project.weight, student.encoder.layers[0].norm.bias]
    for one, other in zip(*(torch.autograd.grad(x, leaves) for x in (loss, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_several_middle_layers_count_by_their_mean():
    student = build({**OWN, "encoder_conf": OWN["encoder_conf"] | {"num_layers": 3}}).eval()
    batch = torch.randn(2, 30, 20), torch.tensor([30, 22]), torch.tensor([[2, 3], [4, -1]]), torch.tensor([2, 1])
    student.training, student.kd, losses = True, Distillation(inter_weight=0.25), []
    for layers in ((1,), (2,), (1, 2)):
        student.middle = layers
        losses.append(student(*(one.clone() for one in batch))[1]["loss_middle"].item())
    assert losses[2] == pytest.approx((losses[0] + losses[1]) / 2, rel=1e-5) and losses[0] != losses[1]


def test_teachers_are_loaded_once_and_never_trained(taught):
    directories, models, students = taught
    student = students["own"]
    student.kd, student.teachers = Distillation(word_weight=0.5, teachers=tuple(map(str, directories))), ()
    speech, lens, text = torch.randn(2, 30, 20), torch.tensor([30, 22]), torch.tensor([[2, 3], [4, 5]])
    before = speech.clone()
    student(speech, lens, text, torch.tensor([2, 2]))
    (asked,) = student.teachers
    loss, _, _ = student(speech, lens, text, torch.tensor([2, 2]))
    loss.backward()
    assert student.teachers == (asked,) and torch.equal(speech, before)
    assert asked.weights == [0.5, 0.5] and asked.mean == "arithmetic"
    for teacher, model in zip(asked.models, models, strict=True):
        assert not teacher.training and all(p.grad is None and not p.requires_grad for p in teacher.parameters())
        assert all(torch.equal(one, other) for one, other in zip(teacher.parameters(), model.parameters(), strict=True))
    assert not [name for name in student.state_dict() if "teacher" in name]
    for (encoded, frames), model in zip(asked.encode_batch(speech, lens), models, strict=True):
        expected = model.encode(speech.clone(), lens)
        torch.testing.assert_close(encoded, expected[0])
        assert torch.equal(frames, expected[1])
    names = ["exp/a", "exp/b/"]
    assert names_of(names) == "a+b"


def test_teachers_that_cannot_teach_are_refused(taught, tmp_path):
    directories, _, students = taught
    tokens = list(students["own"].token_list)
    for other in ([*tokens[:-2], "e", tokens[-1]], tokens[:-1]):
        with pytest.raises(UserError, match="t0: this teacher has another token list than its student"):
            Teachers([str(directories[0])], "arithmetic", (), other)
    lone = write_teacher(tmp_path / "ctc", 1, model_conf={"ctc_weight": 1.0})
    with pytest.raises(UserError, match="ctc: this teacher has no attention decoder"):
        Teachers([str(directories[0]), str(lone)], "arithmetic", (), tokens)
    # what it expects in each frame it can say
    teacher = Teachers([str(lone)], "arithmetic", (), tokens, words=False)
    hs = torch.randn(2, 5, teacher.models[0].ctc.ctc_lo.in_features)
    expected = teacher.models[0].ctc.log_softmax(hs)
    torch.testing.assert_close(teacher.frame_logprobs([(hs, torch.tensor([5, 3]))]), expected)
    assert Teachers(directories, "geometric", (0.25, 0.75), tokens).weights == [0.25, 0.75]


def test_frames_of_one_utterance_that_differ_are_refused_by_their_number():
    student = build(OWN)
    student.kd = Distillation(ctc_word_weight=0.5)
    speech, lens = torch.randn(3, 60, 20), torch.tensor([60, 44, 30])
    text = torch.tensor([[2], [2], [2]]), torch.tensor([1, 1, 1])
    for theirs, said in (([15, 10, 8], "10 frames where the student has 11"), ([15, 11, 9], "9 frames where .* has 8")):
        with pytest.raises(UserError, match=f"encodes {said}; they need the same frame rate"):
            student(speech, lens, *text, kd_ctc=torch.zeros(3, 15, 4), kd_ctc_lengths=torch.tensor(theirs))


@pytest.mark.parametrize("settings", [{"word_weight": 0.3}, {"ctc_word_weight": 0.3}])
def test_of_either_branch_soft_targets_are_asked_for(settings):
    student = build(OWN)
    student.kd = Distillation(**settings)
    given = {"kd_ctc": torch.zeros(1, 15, 4)} if "word_weight" in settings else {"kd_soft": torch.zeros(1, 3, 4)}
    with pytest.raises(UserError, match="neither soft targets nor teachers"):
        student(torch.randn(1, 60, 20), torch.tensor([60]), torch.tensor([[2, 4]]), torch.tensor([2]), **given)


def test_in_validation_references_are_judged_alone(taught):
    """Without hypotheses, whatever the student learns from: the loss of stock ESPnet, and its weight."""
    directories, _, _ = taught
    student = build(OWN).eval()
    batch = torch.randn(2, 30, 20), torch.tensor([30, 22]), torch.tensor([[2, 3], [4, -1]]), torch.tensor([2, 1])
    plain, stats, _ = student(*(one.clone() for one in batch))
    student.kd = Distillation(word_weight=0.5, ctc_word_weight=0.5, teachers=tuple(map(str, directories)))
    loss, judged, weight = student(*(one.clone() for one in batch))
    assert torch.equal(loss, plain) and weight == 2 and student.teachers == ()
    assert judged["acc"] == stats["acc"] and "loss_word" not in judged


def test_of_an_encoder_with_intermediate_layers_the_last_counts():
    networks = {**STOCK, "encoder_conf": STOCK["encoder_conf"] | {"num_blocks": 2, "interctc_layer_idx": [1]}}
    model = build(networks).eval()
    speech, lens = torch.randn(2, 60, 20), torch.tensor([60, 52])
    (last, middle), frames = model.encode(speech, lens)
    encoded, counted = encode(model, speech, lens)
    assert torch.equal(encoded, last) and torch.equal(counted, frames) and middle[0][0] == 1
    assert not torch.equal(encoded, middle[0][1])
