"""A mask holds: pruned weights are zero whatever is loaded and whichever of ESPnet's optimisers trains the others."""

import copy

import pytest
import torch
from torch import nn

from kdasr import checkpoints
from kdasr.errors import UserError
from kdasr.prune.mask import check_held, hold, non_zero, prunable, read_mask


class Net(nn.Module):
    """An embedding, a recurrent layer, a convolution, a norm: what the networks have."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 6)
        self.rnn = nn.GRU(6, 4, batch_first=True)
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 5)

    def forward(self, x):
        h, _ = self.rnn(self.embed(x))
        return self.out(self.norm(self.conv(h.transpose(1, 2)).transpose(1, 2)))


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    mask = {name: torch.rand_like(one) < 0.5 for name, one in prunable(Net()).items()}
    torch.save(mask, tmp_path / "mask.pth")
    return tmp_path / "mask.pth"


def train(model, optimiser, steps=4, clip=None):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x = torch.randint(5, (3, 7), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x).flatten(0, 1), x.roll(1, 1).flatten()).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()


def assert_held(model, path):
    for name, kept in read_mask(path).items():
        assert torch.count_nonzero(prunable(model)[name][~kept]) == 0, name


OPTIMISERS = {
    "adam": {"weight_decay": 0.01},
    "adamw": {"weight_decay": 0.1},
    "sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "adadelta": {"weight_decay": 0.01},
    "adagrad": {"weight_decay": 0.01, "initial_accumulator_value": 0.1},
    "adamax": {"weight_decay": 0.01},
    "asgd": {"weight_decay": 0.01},
    "rmsprop": {"momentum": 0.9, "centered": True, "weight_decay": 0.01},
    "rprop": {},
    "radam": {"weight_decay": 0.01},
}


def espnets(kind):
    from espnet2.tasks.abs_task import optim_classes

    return optim_classes[kind]


def test_all_of_espnets_optimisers_are_looked_at():
    from espnet2.tasks.abs_task import optim_classes

    # L-BFGS needs a closure, which ESPnet's trainer does not give it.
    assert {name for name, kind in optim_classes.items() if kind.__module__.startswith(("torch.optim", "espnet2"))} == {
        *OPTIMISERS,
        "lbfgs",
    }


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_pruned_weights_stay_zero_and_others_move(path, kind):
    model = Net()
    hold(model, path)
    before = copy.deepcopy(model.state_dict())
    train(model, espnets(kind)(model.parameters(), **OPTIMISERS[kind]))
    assert_held(model, path)
    for name, kept in read_mask(path).items():
        moved = prunable(model)[name] != before[name]
        assert moved[kept].float().mean() > 0.5, name  # rows of tokens that did not occur may stay


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}, {"amsgrad": True, "fused": True}])
def test_other_kernels_of_adam(path, options):
    model = Net()
    hold(model, path)
    train(model, torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01, **options), clip=0.1)
    assert_held(model, path)


def test_clipping_sees_the_gradients_of_kept_weights_only(path):
    model = Net()
    hold(model, path)
    x = torch.tensor([[1, 2, 3]])
    model(x).square().mean().backward()
    masked = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    free = Net()
    free.load_state_dict(model.state_dict())
    free(x).square().mean().backward()
    mask = read_mask(path)
    for name, parameter in free.named_parameters():
        assert torch.equal(masked[name], parameter.grad * mask[name] if name in mask else parameter.grad), name


def test_an_infinite_gradient_at_a_pruned_weight_does_no_harm(path):
    model = Net()
    hold(model, path)
    name, kept = next(iter(read_mask(path).items()))
    gradient = torch.where(kept, 1.0, torch.inf)
    (prunable(model)[name] * gradient).sum().backward()
    assert torch.equal(prunable(model)[name].grad, kept.float())


def test_resumed_training_is_that_of_an_uninterrupted_one(path):
    def begin():
        torch.manual_seed(2)
        model = Net()
        hold(model, path)
        return model, torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01)

    one, optimiser = begin()
    train(one, optimiser)
    saved = copy.deepcopy((one.state_dict(), optimiser.state_dict()))
    train(one, optimiser)
    other, optimiser = begin()
    other.load_state_dict(saved[0])
    optimiser.load_state_dict(saved[1])
    train(other, optimiser)
    assert_held(other, path)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_weights_loaded_afterwards_are_pruned_too(path):
    model = Net()
    hold(model, path)
    model.load_state_dict({name: torch.ones_like(one) for name, one in model.state_dict().items()})
    assert_held(model, path)
    mask = read_mask(path)
    assert non_zero(model) == sum(int(mask[n].sum()) if n in mask else p.numel() for n, p in model.named_parameters())


def test_what_does_not_fit_is_refused_by_name(path, tmp_path):
    mask = read_mask(path)
    for changed, words in (
        ({**mask, "out.weight": torch.ones(4, 4, dtype=torch.bool)}, r"out.weight is \(4, 4\) there and is \(5, 4\)"),
        ({**mask, "more.weight": mask["out.weight"]}, "more.weight is .* there and is absent in the model"),
        ({name: one for name, one in mask.items() if name != "conv.weight"}, "conv.weight is absent there"),
    ):
        torch.save(changed, tmp_path / "other.pth")
        with pytest.raises(UserError, match=words):
            hold(Net(), tmp_path / "other.pth")


def test_what_is_no_mask_is_refused(path, tmp_path):
    with pytest.raises(UserError, match=r"kdasr prune"):
        read_mask(tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(path.read_bytes()[:300])
    torch.save({"a": torch.ones(2)}, tmp_path / "floats.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("cut.pth", "floats.pth", "list.pth"):
        with pytest.raises(UserError, match=r"is no mask file, or is (damaged|cut short)"):
            read_mask(tmp_path / name)


def test_weights_that_grew_are_told(path):
    model = Net()
    with pytest.raises(UserError, match=r"exp/s: \d+ pruned weights of embed.weight are not zero any more"):
        check_held(model, path, "exp/s")
    hold(model, path)
    assert check_held(model, path, "exp/s") == non_zero(model)


def test_matrices_kernels_and_embeddings_are_prunable():
    assert list(prunable(Net())) == [
        "embed.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "conv.weight", "out.weight",
    ]  # fmt: skip


def test_non_zero_counts_all_parameters():
    net = Net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
        net.out.weight[0, :2] = 0
        net.norm.bias.fill_(0.0)
    assert non_zero(net) == sum(one.numel() for one in net.parameters()) - 2 - 4


@pytest.mark.parametrize("grown", [0, 1, 3])
def test_how_many_weights_grew_is_told(path, grown):
    net = Net()
    hold(net, path)
    name, kept = list(read_mask(path).items())[3]
    with torch.no_grad():
        gone = (~kept).nonzero()[:grown]
        prunable(net)[name].index_put_(tuple(gone.t()), torch.tensor(-1e-30))
        net.out.bias.fill_(0.0)  # a kept weight may be zero
    if grown:
        with pytest.raises(UserError, match=f"exp/s: {grown} pruned weights of {name} are not zero any more"):
            check_held(net, path, "exp/s")
    else:
        assert check_held(net, path, "exp/s") == non_zero(net)


def test_a_mask_that_was_changed_is_refused(path):
    checkpoints.write_record(path.parent, {})
    read_mask(path)
    torch.save({name: ~one for name, one in torch.load(path, weights_only=True).items()}, path)
    with pytest.raises(UserError, match=r"mask\.pth: was changed after the training ended"):
        read_mask(path)


def test_held_at_once_and_frozen_ones_too(path):
    net = Net()
    net.embed.weight.requires_grad_(False)
    hold(net, path)
    assert_held(net, path)
    before = {name: one.clone() for name, one in net.state_dict().items()}
    mask = read_mask(path)
    for name, one in before.items():
        assert torch.count_nonzero(one) == (int(mask[name].sum()) if name in mask else torch.count_nonzero(one)), name
