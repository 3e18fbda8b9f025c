"""What weights read, gathered by hooks: against what is computed from the modules' inputs by hand."""

import pytest
import search_models as models
import torch

from kdasr.errors import UserError
from kdasr.networks.teachers import encode
from kdasr.shrink.axes import axes_of
from kdasr.shrink.moments import gather


def second(*rows):
    """mean(x x^T) over rows (., I)."""
    every = torch.cat([row.reshape(-1, row.size(-1)) for row in rows]).double()
    return every.T @ every / len(every)


def test_moments_of_the_own_network_are_those_of_its_inputs():
    model = models.build("kdasr")
    inputs, references = models.features([30, 41]), [[3, 4, 5], [6]]
    found = gather(model, list(zip(inputs, references, strict=True)))
    before, encoded, hidden = [], [], []
    with torch.no_grad():
        for x in inputs:
            encoder = model.encoder
            convolved = x[None, None]  # (1, 1, T, F)
            for conv, norm in zip(encoder.convs, encoder.norms, strict=True):
                convolved = torch.relu(norm(conv(convolved)))
            before.append(convolved.transpose(1, 2).flatten(2))
            projected = encoder.project(before[-1])
            hidden.append(encoder.layers[0].ahead(projected)[0][:, :-1])
            encoded.append(encode(model, x[None].clone(), torch.tensor([len(x)]))[0])
    close = {"rtol": 1e-4, "atol": 1e-5}
    assert torch.allclose(found["encoder.project.weight"], second(*before), **close)
    assert torch.allclose(found["encoder.layers.0.ahead.weight_hh_l0"], second(*hidden), **close)
    assert torch.allclose(found["ctc.ctc_lo.weight"], second(*encoded), **close)
    assert torch.allclose(found["decoder.key.weight"], second(*encoded), **close)
    # four and two steps: <sos> and the reference, each embedding beside a context that was zero at first
    steps = model.decoder.embed.weight[[model.sos, 3, 4, 5, model.sos, 6]]
    assert torch.allclose(found["decoder.cells.0.weight_ih"][:6, :6], second(steps), **close)


def test_every_reader_of_units_has_moments():
    """An axis of inputs without them would be importance that is missed: in each network that can be shrunk."""
    for kind in ("kdasr", "transformer", "conformer", "e_branchformer"):
        model = models.build(kind)
        found = gather(model, [(models.features([60])[0], [3, 4])])
        state = model.state_dict()
        for name, spans in axes_of(model, models.config(kind)).items():
            if 1 in spans and name != "decoder.embed.weight":  # a table of what is written
                assert found[name].shape == (state[name].size(1),) * 2, name


def test_an_utterance_that_is_too_short_is_passed_over():
    model = models.build("conformer")
    long, short = models.features([60, 3])
    both, one = (gather(model, [(x, [3]) for x in given]) for given in ([short, long], [long]))
    assert all(torch.equal(both[name], one[name]) for name in one) and both.keys() == one.keys()


@pytest.mark.parametrize("kind", ["kdasr", "conformer"])
def test_a_reference_of_more_tokens_than_frames_is_not_followed(kind):
    model = models.build(kind)
    x = models.features([60])[0]
    frames = encode(model, x[None].clone(), torch.tensor([60]))[0].size(1)
    decoder = "decoder.output.weight" if kind == "kdasr" else "decoder.output_layer.weight"
    fits, beyond = [3] * frames, [4] * (frames + 1)
    one, both = gather(model, [(x, fits)]), gather(model, [(x, fits), (x, beyond)])
    assert torch.equal(one[decoder], both[decoder])
    with pytest.raises(UserError, match="--data: all 1 utterances are shorter than their references; name another set"):
        gather(model, [(x, beyond)])
