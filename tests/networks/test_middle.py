"""What middle layers give: that of the layer itself, and ESPnet's own intermediate outputs; what is refused."""

import argparse

import pytest
import torch

from kdasr.asr.task import KDTask
from kdasr.errors import UserError
from kdasr.networks.middle import encode_with_middle, middle_layers

ATTENTIVE = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 3}
OWN = {"encoder": "conv_rnn", "encoder_conf": {"hidden_size": 8, "num_layers": 3, "conv_channels": 2}}


def build(encoder, encoder_conf, **changes):
    args = vars(KDTask.get_parser().parse_args([]))
    args |= {"encoder": encoder, "encoder_conf": encoder_conf, "decoder": "transformer", "normalize": None}
    args |= {"token_list": ["<blank>", "<unk>", *"abcd", "<sos/eos>"], "input_size": 20} | changes
    torch.manual_seed(0)
    return KDTask.build_model(argparse.Namespace(**args)).eval()


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 60, 20, generator=generator), torch.tensor([60, 44])


def test_of_conv_rnn_they_are_what_the_next_layer_reads():
    model, read = build(**OWN), []
    for layer in model.encoder.layers[1:]:
        layer.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    plain, frames = model.encode(*batch())
    first = list(read)
    encoded, middle, counts = encode_with_middle(model, *batch(), (1, 2))
    assert torch.equal(encoded, plain) and torch.equal(counts, frames)
    assert len(middle) == 2 and all(torch.equal(one, other) for one, other in zip(middle, first, strict=True))
    assert [one.data_ptr() for one in encode_with_middle(model, *batch(), (2,))[1]] == [read[-1].data_ptr()]
    assert torch.is_tensor(model.encode(*batch())[0])  # nothing of it stays


@pytest.mark.parametrize("encoder", ["transformer", "conformer", "e_branchformer"])
def test_of_espnets_encoders_they_are_its_intermediate_outputs(encoder):
    conf = ATTENTIVE if encoder != "e_branchformer" else ATTENTIVE | {"cgmlp_linear_units": 8, "cgmlp_conv_kernel": 3}
    theirs = build(encoder, conf | {"interctc_layer_idx": [1, 2]})
    (last, outputs), frames = theirs.encode(*batch())
    ours = build(encoder, conf)
    ours.load_state_dict(theirs.state_dict())
    encoded, middle, counts = encode_with_middle(ours, *batch(), (2,))
    assert torch.equal(encoded, last) and torch.equal(counts, frames)
    assert len(middle) == 1 and torch.equal(middle[0], outputs[1][1])


def test_an_encoder_stays_conditioned_on_its_own_middle_layers():
    """And gives no others, as it would be conditioned on them, too."""
    model = build("transformer", ATTENTIVE | {"interctc_layer_idx": [1, 2], "interctc_use_conditioning": True})
    (last, outputs), _ = model.encode(*batch())
    encoded, [middle], _ = encode_with_middle(model, *batch(), (2,))
    assert torch.equal(encoded, last) and torch.equal(middle, outputs[1][1])
    assert list(model.encoder.interctc_layer_idx) == [1, 2]
    assert middle_layers(model, ()) == (1, 2) and middle_layers(model, (2,)) == (2,)
    model.encoder.interctc_layer_idx = [1]
    with pytest.raises(UserError, match=r"inter_layers: 2: this encoder is conditioned on its layers 1 \(interctc_use"):
        middle_layers(model, (2,))


def test_which_layers_are_meant():
    three = build(**OWN)
    assert middle_layers(three, ()) == (1,) and middle_layers(three, (1, 2)) == (1, 2)
    assert middle_layers(build("conformer", ATTENTIVE | {"num_blocks": 6}), ()) == (3,)
    for asked, layers in (((3,), 3), ((0,), 3), ((1, 7), 3), ((), 1)):
        conf = OWN["encoder_conf"] | {"num_layers": layers}
        with pytest.raises(UserError, match=f"inter_layers: .* of {layers} layers, expected some from 1 up to"):
            middle_layers(build("conv_rnn", conf), asked)


def test_encoders_that_do_not_give_them_are_refused():
    for encoder, conf in (("vgg_rnn", {"hidden_size": 8}), ("munim_rnn", {"hidden_size": 8})):
        with pytest.raises(
            UserError, match=r"inter_weight: CTC cannot read middle layers of this encoder \(.*RNN.*|Mu"
        ):
            build(encoder, conf, kd_conf={"inter_weight": 0.3}, input_size=161)
    with pytest.raises(UserError, match="inter_weight: is of a CTC branch, and this model has none"):
        build(**OWN, kd_conf={"inter_weight": 0.3}, model_conf={"ctc_weight": 0.0})
    assert build(**OWN, kd_conf={"inter_weight": 0.3}).middle == (1,)
    assert build(**OWN).middle == ()
