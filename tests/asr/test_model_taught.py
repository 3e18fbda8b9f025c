"""KDModel with teachers, in every combination of settings, against its definition written out for each utterance."""

import argparse
from dataclasses import fields
from random import Random

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kd_models import OWN, RNN, STOCK, batch_of, build
from properties import examples

from kdasr.asr.settings import Distillation
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
