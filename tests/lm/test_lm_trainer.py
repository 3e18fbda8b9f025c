"""The loop of a training: pieces, updates, checkpoints, averaging."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lm_world import network
from properties import examples

from kdasr.lm import trainer
from kdasr.lm.perplexity import perplexity
from kdasr.lm.piece import OnlineTeachers, backward
from kdasr.lm.settings import LmSettings
from kdasr.lm.text import streams
from kdasr.networks.awd import AwdLstm

IDS = np.random.default_rng(5).integers(0, 11, 4 * 61 + 3)  # three words are left over


def loop_of(tmp_path, ids=IDS, model=None, teacher=None, **changes):
    return trainer.Loop(model or network(1), LmSettings(**({"streams": 4} | changes)), ids, teacher, tmp_path)


@pytest.mark.parametrize("steps", [5, 12, 30])
def test_lengths_of_pieces_and_their_rates_are_the_papers(tmp_path, steps):
    """Merity et al. 2018, section 5: N(steps, 5), of half the mean once in 20; the rate goes by the length."""
    model = AwdLstm(11, embed=2, hidden=2, last=2, layers=1, experts=1)
    size = 130 * steps
    loop = loop_of(tmp_path, np.zeros(size, int), model, steps=steps, rate=0.5, streams=1, weight_decay=0.0)
    state, kinds = torch.get_rng_state(), set()
    found = []
    while loop.position < size:
        found.append(loop.piece())
        assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * found[-1] / steps)
    assert sum(found) == size
    torch.set_rng_state(state)
    for place, length in enumerate(found):
        half = torch.rand(()).item() < 0.05
        drawn = int((steps / 2 if half else steps) + 5 * torch.randn(()).item())
        bounded = min(max(5, drawn), steps + 10)
        kinds.add((half, (drawn > steps + 10) - (drawn < 5)))
        assert length == bounded or (place == len(found) - 1 and length < bounded)
    assert {(False, 0), (False, 1)} <= kinds and any(half for half, _ in kinds)


@pytest.mark.parametrize("objective", ["", "trust"])
@pytest.mark.parametrize("clip", [0.05, 100.0])
def test_an_epoch_is_a_step_of_sgd_a_piece(tmp_path, objective, clip):
    """rate length / steps (g min(1, clip / |g|) + decay w), the state going on from piece to piece."""
    teacher = OnlineTeachers([network(2)]) if objective else None
    changes = {"objective": objective} if objective else {}
    loop = loop_of(tmp_path, teacher=teacher, steps=9, rate=0.7, clip=clip, weight_decay=0.01, patience=5, **changes)
    other, beside = network(1), OnlineTeachers([network(2)])
    beside.restart(4)
    words, target = (torch.from_numpy(side) for side in streams(IDS[:244], 4, 10))
    state, begin, sums, norms = other.zero(4), 0, [0.0, 0.0], []
    while begin < 61:
        length = loop.piece()
        piece, gold = words[:, begin : begin + length], target[:, begin : begin + length]
        beside.read(piece)
        mean, nll, state = backward(other, piece, gold, state, loop.settings, beside if objective else None)
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in other.parameters())))
        with torch.no_grad():
            for p in other.parameters():
                p -= 0.7 * length / 9 * (p.grad * min(1.0, clip / (norms[-1] + 1e-6)) + 0.01 * p)
        other.zero_grad()
        begin += length
        sums = [sums[0] + mean * length, sums[1] + nll * length]
        assert loop.position == begin and loop.sums == pytest.approx(sums, rel=1e-4)
        for mine, p in zip(loop.model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, p, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(loop.state, state, rtol=1e-4, atol=1e-5)
    assert len(norms) > 4 and (min(norms) > clip if clip < 1 else max(norms) < clip)
    line = loop.end_epoch(IDS)
    assert line.startswith(f"epoch 1: loss {sums[0] / 61:.4f}, training perplexity {math.exp(sums[1] / 61):.2f}, ")
    assert (sums[0] != sums[1]) == bool(objective)
    states = loop.state + (loop.teacher.states[0] if teacher else [])  # the next epoch begins anew
    assert (loop.position, loop.sums) == (0, [0.0, 0.0]) and all((h == 0).all() and (c == 0).all() for h, c in states)


def same(one, other):
    """Whether two parts of a training are equal: numbers, tensors, and what holds them."""
    if isinstance(one, torch.nn.Module):
        return same(one.state_dict(), other.state_dict())
    if isinstance(one, OnlineTeachers):
        return same(one.states, other.states)
    if isinstance(one, torch.optim.Optimizer):
        return True  # SGD without momentum; its rate is set at each piece
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("averaged", [False, True])
def test_a_checkpoint_has_all_of_a_training(tmp_path, averaged):
    """Whatever a loop holds; then both go on alike."""
    changes = {"patience": 0 if averaged else 5, "steps": 8, "rate": 0.3, "objective": "kl"}
    torch.manual_seed(3)
    loop = loop_of(tmp_path, teacher=OnlineTeachers([network(2)]), **changes)
    for _ in range(2):
        while loop.position < 61:
            loop.piece()
        loop.end_epoch(IDS)
    loop.seconds = 2.5
    loop.piece()
    loop.piece()
    loop.save()
    drawn = torch.get_rng_state()
    loop.model.zero_grad()
    torch.manual_seed(4)
    other = loop_of(tmp_path, model=network(7), teacher=OnlineTeachers([network(2)]), **changes)
    assert torch.equal(torch.get_rng_state(), drawn) and len(other.history) == 2
    assert {"average", "epoch", "history", "position", "seconds", "state", "sums", "teacher"} <= vars(loop).keys()
    assert [name for name in vars(loop) if not same(vars(loop)[name], vars(other)[name])] == []
    loop.piece()
    torch.set_rng_state(drawn)
    other.piece()
    assert [name for name in vars(loop) if not same(vars(loop)[name], vars(other)[name])] == []


@pytest.mark.parametrize("averaged", [False, True])
def test_the_model_that_is_kept_is_the_best_so_far(tmp_path, averaged):
    """Better than every epoch before; as good is not better. Once averaging has begun, the average counts."""
    loop = loop_of(tmp_path, patience=0 if averaged else 5, steps=8, rate=0.5)
    for _ in range(3):
        loop.piece()
    network_now = loop.average.module if averaged else loop.model
    assert not averaged or not torch.equal(network_now.out.bias, loop.model.out.bias)
    ppl = perplexity([network_now.eval()], IDS, trainer.VALID_STREAMS, progress=False).ppl
    for history, kept in (([], True), ([ppl - 1, ppl + 1], False), ([ppl], False), ([ppl + 1, ppl + 2], True)):
        (tmp_path / trainer.MODEL).unlink(missing_ok=True)
        loop.history, loop.sums, loop.position = list(history), [1.0, 1.0], 1
        assert (", averaged, " in loop.end_epoch(IDS)) == averaged
        assert loop.history == [*history, pytest.approx(ppl)]
        assert (tmp_path / trainer.MODEL).exists() == kept
        if kept:
            stored = torch.load(tmp_path / trainer.MODEL)
            assert all(torch.equal(stored[f"lm.{name}"], value) for name, value in network_now.state_dict().items())


def test_when_training_ends():
    """After the last epoch; or when averaging has begun and `stop` epochs have passed since the best one."""
    loop, ended = object.__new__(trainer.Loop), set()
    for length, stop, more, averaged in itertools.product(range(6), range(4), (-1, 0, 1, 5), (False, True)):
        for history in itertools.product([1.0, 2.0], repeat=length):
            loop.settings = LmSettings(stop=stop, epochs=length + more)
            loop.history, loop.epoch, loop.average = list(history), length, object() if averaged else None
            best = history.index(min(history)) if history else -1
            since = length - 1 - best if history else 0
            by_stop = averaged and stop > 0 and since >= stop
            assert loop.done() == (more <= 0 or by_stop), (history, stop, more, averaged)
            ended.add((more <= 0, by_stop))
    assert len(ended) == 4


@examples(20)
@given(st.lists(st.booleans(), max_size=8), st.integers(0, 6), st.integers(0, 9))
def test_averaging_begins_by_the_papers_rule(tmp_path_factory, better, patience, average_after):
    """Epochs before were better than this one or not."""
    changes = {"steps": 8, "patience": patience, "average_after": average_after}
    loop = trainer.Loop(
        AwdLstm(11, embed=2, hidden=2, last=2, layers=1, experts=1),
        LmSettings(streams=4, **changes), IDS[:40], None, tmp_path_factory.mktemp("loop"),
    )  # fmt: skip
    assert (loop.average is not None) == (patience == 0)
    loop.history, loop.epoch, loop.sums, loop.position = (
        [1.0 if one else 99.0 for one in better],
        len(better),
        [1.0] * 2,
        1,
    )
    loop.end_epoch(IDS[:40])
    by_rule = patience == 0 or any(better[: max(0, len(better) - patience)])
    assert (loop.average is not None) == (by_rule or len(better) + 1 == average_after)


def test_averaging_begins_when_nothing_improves(tmp_path):
    """NT-ASGD: with patience 1, after the first epoch that is worse than the best of those before the last one."""
    assert LmSettings(patience=0).patience == 0
    ids = np.tile([1, 2, 3, 4], 30)
    model = network(1)
    loop = trainer.Loop(model, LmSettings(streams=4, steps=8, rate=1e-4, patience=1), ids, None, tmp_path)
    for history, averaged in (([5.0], False), ([1e-3, 5.0], True)):
        loop.average, loop.history, loop.sums, loop.position = None, list(history), [1.0, 1.0], 1
        loop.end_epoch(ids)
        assert (loop.average is not None) == averaged
    # the average is the mean of the weights after each piece
    loop.average, seen = trainer.AveragedModel(model), []
    for _ in range(3):
        loop.piece()
        seen.append(model.out.bias.detach().clone())
    torch.testing.assert_close(loop.average.module.out.bias, torch.stack(seen).mean(0))


def test_averaging_begins_after_a_given_epoch_at_the_latest(tmp_path):
    """However the validation perplexity falls; earlier if it does not."""
    ids = np.tile([1, 2, 3, 4], 30)
    settings = LmSettings(streams=4, steps=8, rate=1e-4, patience=5, average_after=2)
    for worse, begun in ((False, [False, True, True]), (True, [True, True, True])):
        (tmp_path / str(worse)).mkdir()
        loop = trainer.Loop(network(1), settings, ids, None, tmp_path / str(worse))
        loop.history = [1e-3] * 6 if worse else [1e9] * 6
        found = []
        for _ in begun:
            loop.sums, loop.position = [1.0, 1.0], 1
            loop.end_epoch(ids)
            found.append(loop.average is not None)
        assert found == begun
