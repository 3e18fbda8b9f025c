"""The N-best of a model in training: that of `kdasr nbest` with the same weights, and it is left as it was."""

import pytest
import search_models as models
import torch
import yaml

from kdasr.errors import UserError
from kdasr.models import find_models
from kdasr.search.engine import Engine
from kdasr.search.in_memory import InMemory
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import Row

OPTIONS = SearchOptions(beam=4, nbest=4, ctc_weight=0.0, maxlenratio=0.9)
KINDS = ["kdasr", "location_lstm", "dot", "transformer", "conformer", "coverage"]
LENGTHS = [31, 52, 40, 64, 1, 44]  # one is too short for some encoders


def spell(ids):
    return "".join(models.TOKENS[number] for number in ids)


def in_memory(model):
    return InMemory(model, OPTIONS, spell)


def of_engine(directory, model, inputs):
    """What an Engine with these weights finds, each input alone and all together."""
    directory.mkdir()
    torch.save(model.state_dict(), directory / "valid.acc.ave.pth")
    (directory / "config.yaml").write_text(yaml.safe_dump(models.config(model.kind)))
    engine = Engine(find_models([str(directory)], None), OPTIONS, Computing(10**6))
    engine.spell = spell
    engine.read = lambda row: inputs[int(row.name)].numpy()
    rows = [Row(str(number), None, 1.0) for number in range(len(inputs))]
    together = sorted(engine.decode(rows), key=lambda one: int(one["id"]))
    return together, [next(iter(engine.decode([row]))) for row in rows]


def same(one, other):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine["stop"] == theirs["stop"] and mine["duplicates"] == theirs["duplicates"]
        for key in ("tokens", "text", "ended"):
            assert [hyp[key] for hyp in mine["hyps"]] == [hyp[key] for hyp in theirs["hyps"]]
        scores = [[hyp["score"] for hyp in record["hyps"]] for record in (mine, theirs)]
        assert scores[0] == pytest.approx(scores[1], abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_in_training_it_finds_what_an_engine_finds(kind, tmp_path):
    model, inputs = models.build(kind), models.features(LENGTHS)
    model.kind = kind
    together, alone = of_engine(tmp_path / "model", model, inputs)
    assert sum(len(one["hyps"]) for one in together) > 12
    model.train()
    kept = next(module for module in model.modules() if isinstance(module, torch.nn.Dropout)).eval()
    modes = {module: module.training for module in model.modules()}
    before, searching, given = torch.get_rng_state(), in_memory(model), [x.clone() for x in inputs]
    with torch.autocast("cpu", torch.bfloat16):
        found = searching.nbest(inputs)
        assert torch.is_autocast_enabled("cpu")
    same(found, together)
    same(found, alone)
    assert {module: module.training for module in model.modules()} == modes and not kept.training
    assert torch.equal(torch.get_rng_state(), before) and torch.is_grad_enabled()
    assert all(torch.equal(one, other) for one, other in zip(inputs, given, strict=True))
    assert all(parameter.requires_grad for parameter in model.parameters())
    # the weights move: what is found is of the new ones
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    fresh, _ = of_engine(tmp_path / "moved", model, inputs)
    same(searching.nbest(inputs), fresh)
    assert [one["hyps"] for one in fresh] != [one["hyps"] for one in together]


def test_an_encoder_that_gives_no_numbers_is_said():
    model = models.build("kdasr")
    model.encoder.project.weight.data.fill_(torch.nan)
    with pytest.raises(UserError, match="the student's encoder gives values that are not numbers; lower the learning"):
        in_memory(model).nbest(models.features([30]))
