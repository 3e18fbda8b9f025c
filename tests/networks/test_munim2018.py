"""The networks of Mun'im et al. 2018: their sizes, what they compute step by step, and that batches change nothing."""

import argparse
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kdasr.asr.task import KDTask
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.networks.munim2018 import MunimDecoder, MunimEncoder, after
from kdasr.search.exact_encoders import encode_batch, plan_for

CONF = Path(__file__).parents[2] / "egs" / "wsj" / "conf" / "munim2018"
# ESPnet's <blank> and <unk>, and one token for the paper's <s> and </s>; the paper's other classes are the same
TOKENS = ["<blank>", "<unk>", "<space>", "'", ".", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "<sos/eos>"]
TooShort = name("espnet.nets.pytorch_backend.transformer.subsampling:TooShortUttError")


def size(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("config", "published", "hidden", "layers", "decoder_layers"),
    [("teacher", 16.8e6, 384, 5, 3), ("student_mid", 6.1e6, 256, 4, 1), ("student_small", 1.7e6, 128, 3, 1)],
)
def test_sizes_of_the_paper(config, published, hidden, layers, decoder_layers):
    """Table 2's numbers of parameters, from the configurations, and each by hand."""
    assert len(TOKENS) == 32
    args = KDTask.get_parser().parse_args(["--config", str(CONF / f"{config}.yaml")])
    args = argparse.Namespace(**{**vars(args), "token_list": TOKENS, "input_size": 161, "normalize": None})
    model = KDTask.build_model(args)
    assert model.ctc is None

    def gru(inputs):
        return 3 * hidden * (inputs + hidden) + 6 * hidden  # three gates, each with two biases

    convolutions = 32 * 40 + 32 + 32 * 32 * 40 + 32
    encoder = convolutions + 2 * gru(32 * 35) + (layers - 1) * 2 * gru(2 * hidden)
    recurrent = gru(32 + hidden) + (decoder_layers - 1) * gru(hidden)
    attention = 15 * hidden + hidden
    decoder = 32 * 32 + recurrent + attention + 32 * hidden + 32
    assert (size(model.encoder), size(model.decoder)) == (encoder, decoder)
    assert size(model) == encoder + decoder
    assert abs(size(model) / published - 1) < 0.01


def test_the_papers_ratios():
    """9.8 and 2.7 times smaller, as Table 2 has it."""
    sizes = {}
    for key, hidden, layers, above in (("teacher", 384, 5, 3), ("mid", 256, 4, 1), ("small", 128, 3, 1)):
        sizes[key] = size(MunimEncoder(161, hidden, layers)) + size(MunimDecoder(32, hidden, hidden, above))
    assert round(sizes["teacher"] / sizes["small"], 1) == 9.8
    assert round(sizes["teacher"] / sizes["mid"], 1) == 2.7


def test_frames_and_bins_by_hand():
    assert after(after(161, 8), 8) == 35  # 161 -> 77 -> 35
    assert after(after(torch.tensor([13, 14, 16, 17, 100]), 5), 5).tolist() == [1, 1, 1, 2, 22]
    assert after(after(12, 5), 5) == 0
    assert MunimEncoder.shortest == 13


def randomised(module):
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.0, 0.4)
    return module.eval()


def test_batch_equals_single():
    torch.manual_seed(0)
    encoder = randomised(MunimEncoder(30, 6, 2)).double()
    lens = torch.tensor([17, 60, 13, 59, 58, 57, 20])  # not sorted
    x = torch.randn(len(lens), 60, 30).double()  # noise where the padding is: it must not matter
    batch, out_lens, _ = encoder(x, lens)
    assert batch.shape == (7, int(out_lens.max()), 6)
    for b, length in enumerate(lens.tolist()):
        single, single_len, _ = encoder(x[b : b + 1, :length], lens[b : b + 1])
        assert out_lens[b] == single_len[0] == single.size(1)
        torch.testing.assert_close(batch[b, : single_len[0]], single[0], rtol=1e-9, atol=1e-12)
        assert (batch[b, single_len[0] :] == 0).all()


def test_encoder_by_hand():
    """Convolutions as sums over patches; layers of one direction each, concatenated, and the last ones summed."""
    torch.manual_seed(0)
    encoder = randomised(MunimEncoder(24, 5, 2)).double()
    x = torch.randn(1, 21, 24).double()
    image = x[0, None]  # (1, T, F)
    for conv in encoder.convs:
        frames, bins = (image.size(1) - 5) // 2 + 1, (image.size(2) - 8) // 2 + 1
        patches = torch.stack(
            [image[:, 2 * t : 2 * t + 5, 2 * f : 2 * f + 8].flatten() for t in range(frames) for f in range(bins)]
        )
        values = torch.relu(patches @ conv.weight.flatten(1).t() + conv.bias)  # (frames * bins, C)
        image = values.t().reshape(32, frames, bins)
    sequence = image.permute(1, 0, 2).flatten(1)  # (S, C * F')
    for layer in range(2):
        ways = []
        for suffix in ("", "_reverse"):
            one = nn.GRU(sequence.size(1), 5).double()
            for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(one, f"{weight}_l0").data.copy_(getattr(encoder.rnn, f"{weight}_l{layer}{suffix}"))
            ways.append(one(sequence.flip(0))[0].flip(0) if suffix else one(sequence)[0])
        sequence = torch.cat(ways, 1)
    got, lens, _ = encoder(x, torch.tensor([21]))
    assert lens.tolist() == [3]
    torch.testing.assert_close(got[0], ways[0] + ways[1], rtol=1e-9, atol=1e-12)


def test_dropout_stands_behind_convolutions_and_between_layers():
    encoder = MunimEncoder(161, 16, 3, dropout_rate=0.4)
    assert encoder.dropout.p == encoder.rnn.dropout == 0.4
    x, lens = torch.randn(1, 50, 161), torch.tensor([50])
    torch.manual_seed(0)
    assert not torch.equal(encoder(x, lens)[0], encoder(x, lens)[0])
    encoder.eval()
    assert torch.equal(encoder(x, lens)[0], encoder(x, lens)[0])


@pytest.mark.parametrize("lengths", [[12], [40, 12], [1, 40]])
def test_an_utterance_too_short_is_named_by_its_length(lengths):
    with pytest.raises(TooShort, match=rf"has {min(lengths)} frames, its convolutions need 13; remove"):
        MunimEncoder(161, 4, 1)(torch.randn(len(lengths), 40, 161), torch.tensor(lengths))


def test_the_search_leaves_out_what_is_too_short():
    encoder = MunimEncoder(30, 6, 1).eval()
    inputs = [torch.randn(length, 30) for length in (40, 12, 13, 0)]
    found = encode_batch(plan_for(encoder), inputs)
    assert [None if hs is None else len(hs) for hs in found] == [7, None, 1, None]
    torch.testing.assert_close(found[2], encoder(inputs[2][None], torch.tensor([13]))[0][0])


def test_impossible_sizes_are_refused():
    with pytest.raises(UserError, match="20 bins a frame are too few"):
        MunimEncoder(20)
    assert MunimEncoder(22, 4, 1).output_size() == 4
    with pytest.raises(UserError, match="hidden_size 128 is added to the encoder's 64"):
        MunimDecoder(32, 64)


def by_hand(decoder, hs, tokens):
    """Logits (L, V) of one utterance (S, H) after each of `tokens`, one step and one frame after the other."""
    size = hs.size(1)
    hidden = [torch.zeros(size) for _ in decoder.cells]
    context, align = torch.zeros(size), torch.zeros(len(hs))
    logits = []
    for token in tokens:
        below = torch.cat([decoder.embed.weight[token], context])
        for i, cell in enumerate(decoder.cells):
            below = hidden[i] = cell(below[None], hidden[i][None])[0]
        padded = F.pad(align, (7, 7))
        energies = []
        for s in range(len(hs)):
            heard = decoder.location.weight @ padded[s : s + 15]
            energies.append(decoder.energy.weight[0] @ torch.tanh(hs[s] + below + heard))
        align = torch.softmax(torch.stack(energies), 0)
        context = align @ hs
        logits.append(decoder.output.weight @ (below + context) + decoder.output.bias)
    return torch.stack(logits)


@pytest.mark.parametrize("layers", [1, 3])
def test_decoder_by_hand(layers):
    """Training's logits and the search's steps, against the equations; two utterances of different lengths."""
    torch.manual_seed(0)
    decoder = randomised(MunimDecoder(9, 8, 8, layers, dropout_rate=0.0))
    hs, lens = torch.randn(2, 6, 8), torch.tensor([6, 4])
    tokens = torch.tensor([[8, 2, 3, 4], [8, 5, 5, 1]])
    expected = torch.stack([by_hand(decoder, hs[b, : lens[b]], tokens[b]) for b in range(2)])
    logits, _ = decoder(hs, lens, tokens, torch.tensor([4, 4]))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    memory = decoder.remember(hs, lens)
    state = decoder.start(memory, 1)
    for step in range(4):
        logp, state = decoder.step(tokens[:, step : step + 1], state, memory)
        torch.testing.assert_close(logp[:, 0], expected[:, step].log_softmax(-1), rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_equations():
    torch.manual_seed(0)
    decoder = randomised(MunimDecoder(7, 4, 4, dropout_rate=0.0)).train()
    hs = torch.randn(1, 5, 4, requires_grad=True)
    tokens = torch.tensor([[6, 2, 3]])
    weights = torch.randn(3, 7)
    inputs = [hs, *decoder.parameters()]
    fused, _ = decoder(hs, torch.tensor([5]), tokens, torch.tensor([3]))
    ours = torch.autograd.grad((fused[0] * weights).sum(), inputs)
    theirs = torch.autograd.grad((by_hand(decoder, hs[0], tokens[0]) * weights).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_what_stands_for_projections_is_in_no_checkpoint():
    decoder = MunimDecoder(32, 128)
    assert sorted(decoder.state_dict()) == sorted(key for key, _ in decoder.named_parameters())
    assert not [key for key in decoder.state_dict() if key.startswith(("key", "query"))]


def test_what_is_given_is_used(recwarn):
    decoder = MunimDecoder(9, 8, 8, 2, 5, 3, 0.25, 0.75)
    assert decoder.dropout.p == 0.25 and decoder.sampling_probability == 0.75 and decoder.kernel_size == 3
    assert decoder.embed.weight.shape == (9, 5) and len(decoder.cells) == 2
    default = MunimDecoder(9, 128)
    assert (default.dropout.p, default.sampling_probability, default.kernel_size) == (0.4, 0.0, 15)
    for layers, between in ((1, 0.0), (2, 0.3)):
        encoder = MunimEncoder(30, 6, layers, 0.3)
        assert encoder.rnn.dropout == between and encoder.dropout.p == 0.3
    assert not [warning for warning in recwarn if "dropout" in str(warning.message)]
