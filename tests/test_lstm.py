"""The recurrent autoencoder: known states, told backwards; windows that see only themselves."""

import copy
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from sensor_ad import training
from sensor_ad.config import TrainingSettings
from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs
from sensor_ad.models.lstm import FORGET_BIAS, LSTMAutoencoder
from sensor_ad.training import make_series, train_network

T = 1200
TIME = np.arange(T)
SINES = np.stack([np.sin(TIME / 5), np.cos(TIME / 5), np.sin(TIME / 5 + 1)], axis=1)
SINES = (1.4 * SINES + np.random.default_rng(0).normal(0, 0.05, SINES.shape)).astype(np.float32)
FAULT = slice(1000, 1060)
OPEN, SHUT = 100.0, -100.0


def network_of(window, channels=2, **sizes):
    torch.manual_seed(window)
    return LSTMAutoencoder(channels, window, latent=8, **sizes).double().eval()


def set_gates(lstm, enter, keep, leave, weight):
    """Hold the gates of one cell open or shut; what is put in is tanh of `weight` times inputs."""
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.bias_ih_l0.copy_(torch.tensor([enter, keep, 0.0, leave]))
        lstm.weight_ih_l0[2] = torch.tensor(weight)


def summing(keep=OPEN):
    """Make a network of one tag, the state of which sums up its inputs; the decoder counts rows."""
    network = LSTMAutoencoder(1, 8, latent=1, width=1).double().eval()
    set_gates(network.encoder, OPEN, OPEN, OPEN, [0.3, 0.0])
    set_gates(network.decoder, OPEN, keep, OPEN, [2.0])
    with torch.no_grad():
        for linear in (network.start, network.output):
            linear.weight.zero_()
            linear.bias.zero_()
        network.output.weight.fill_(5)
    return network


VALUES = torch.tensor([[[0.1, -0.4, 0.3, 0.7, 0.2, 0.0, -0.1, 0.5]]], dtype=torch.double)


@pytest.fixture(scope="module")
def trained():
    """Give an untrained network, one that has learnt the sines, and the history of its training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = LSTMAutoencoder(3, 16, latent=16)
    before = copy.deepcopy(network).eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FEWEST_SAMPLES", 1024)
        device, ones = torch.device("cpu"), np.ones_like(SINES)
        parts = [
            make_series(SINES, ones, part, network, device) for part in (TIME < 900, TIME >= 932)
        ]
        settings = TrainingSettings(batch=16, learning_rate=0.005)
        result = train_network(network, *parts, settings, 0, epochs=5)
    yield before, network.eval(), result.history
    torch.set_num_threads(threads)


def test_open_gates_sum_up_the_inputs():
    network = summing()
    with LayerOutputs(network, ["encoder"]) as outputs:
        _, features = outputs(VALUES, torch.ones_like(VALUES))
    states, (last, cell) = features["encoder"]
    total = 0.0
    for row, value in enumerate(VALUES[0, 0].tolist()):
        total += math.tanh(0.3 * value)
        assert states[0, row, 0].item() == pytest.approx(math.tanh(total))
    assert cell.item() == pytest.approx(total)
    latents = network.steps(features["encoder"], 1)
    assert latents.shape == (1, 1, 1)
    assert latents.item() == last.item() == pytest.approx(math.tanh(total))


def test_hidden_cells_are_not_summed_up():
    network, mask = summing(), torch.ones_like(VALUES)
    mask[0, 0, 2:7] = 0
    states, _ = network.encoder(torch.cat([VALUES * mask, mask], dim=1).transpose(1, 2))
    total = sum(math.tanh(0.3 * value) for value in (0.1, -0.4, 0.5))
    assert states[0, -1].item() == pytest.approx(math.tanh(total))
    with LayerOutputs(network, ["encoder"]) as outputs:
        _, features = outputs(VALUES, mask)
    assert torch.equal(features["encoder"][0], states)


@pytest.mark.parametrize("keep", [OPEN, SHUT])
def test_window_is_told_backwards_from_the_last_state(keep):
    """An open forget gate counts the decoder's steps: the last row is told first."""
    expected = summing(keep)(VALUES, torch.ones_like(VALUES))[0, 0].tolist()
    last = math.tanh(sum(math.tanh(0.3 * value) for value in VALUES[0, 0].tolist()))
    for row in range(8):
        steps = 8 - row if keep == OPEN else 1
        assert expected[row] == pytest.approx(5 * math.tanh(steps * math.tanh(2 * last)))


def test_decoder_starts_from_the_last_state():
    network = summing()
    set_gates(network.decoder, SHUT, OPEN, OPEN, [0.0])
    with torch.no_grad():
        network.start.weight[1] = 3  # of what the cell holds
    last = math.tanh(sum(math.tanh(0.3 * value) for value in VALUES[0, 0].tolist()))
    expected = network(VALUES, torch.ones_like(VALUES))[0, 0].tolist()
    assert expected == [pytest.approx(5 * math.tanh(3 * last))] * 8

    set_gates(network.decoder, OPEN, SHUT, OPEN, [0.0])
    with torch.no_grad():
        network.start.weight[0] = 3  # of the hidden state, which is fed back
        network.decoder.weight_hh_l0[2] = 2
    state = math.tanh(3 * last)
    for row in (7, 6, 5):
        state = math.tanh(math.tanh(2 * state))
        found = network(VALUES, torch.ones_like(VALUES))[0, 0, row].item()
        assert found == pytest.approx(5 * state)


def test_cells_begin_by_keeping_what_they_hold():
    network = LSTMAutoencoder(2, 16, latent=4, width=6)
    for lstm, cells in ((network.encoder, 4), (network.decoder, 6)):
        bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach()
        assert bias[cells : 2 * cells].tolist() == [FORGET_BIAS] * cells
        assert (bias[:cells] != FORGET_BIAS).all()
        assert lstm.bias_ih_l0.requires_grad


def test_loss_falls(trained):
    _, _, history = trained
    losses = [entry["validate_loss"] for entry in history]
    assert losses[-1] < losses[0] / 2


def fault_over_normal(network):
    """How many times as large residuals are where one tag moves against the others."""
    values = SINES[:1152].copy()
    values[FAULT, 0] *= -1  # each reading on its own is as ever
    x = torch.from_numpy(values.T[None])
    with torch.inference_mode():
        residual = (x - network(x, torch.ones_like(x)).expected)[0].abs().mean(dim=0).numpy()
    inside = residual[FAULT.start + 16 : FAULT.stop - 16].mean()
    return inside / residual[200:900].mean()


def test_residuals_are_larger_in_a_fault(trained):
    before, network, _ = trained
    assert fault_over_normal(before) < 1.2
    assert fault_over_normal(network) > 3


@pytest.mark.parametrize("window", [8, 16, 64])
def test_reach_equals_the_measured_one(window):
    network = network_of(window)
    values = torch.randn(1, 2, 4 * window, dtype=torch.double, requires_grad=True)
    result = network(values, torch.ones_like(values)).expected

    farthest = 0
    for row in range(2 * window, 2 * window + network.stride):
        (gradient,) = torch.autograd.grad(result[0, :, row].sum(), values, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1)).nonzero()
        farthest = max(farthest, row - int(rows[0]), int(rows[-1]) - row)

    assert farthest == network.reach


def stepwise(lstm, inputs):
    """(L, D) hidden states, of the equations of the LSTM in a plain loop over (L, I) inputs."""
    cells = lstm.hidden_size
    h = c = torch.zeros(cells, dtype=torch.double)
    states = []
    for row in inputs:
        gates = lstm.weight_ih_l0 @ row + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h + lstm.bias_hh_l0
        enter, keep, new, leave = gates.split(cells)
        c = keep.sigmoid() * c + enter.sigmoid() * new.tanh()
        h = leave.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("hidden", ["last", "mean", "all"])
def test_long_stretch_equals_windows_one_by_one(hidden):
    network = network_of(16, hidden=hidden)
    values = torch.randn(2, 2, 40, dtype=torch.double)
    mask = (torch.rand(2, 2, 40) > 0.2).double()
    with LayerOutputs(network, ["encoder"]) as outputs:
        result, features = outputs(values, mask)
    latents = network.steps(features["encoder"], 2)
    assert latents.shape == (2, 8, 40 if hidden == "all" else 10)

    for n in range(2):
        for k in range(10):
            start = 4 * k - 6  # so that the 4 rows stand in the middle of the 16
            window, seen = torch.zeros(2, 1, 2, 16, dtype=torch.double)
            for row in range(max(start, 0), min(start + 16, 40)):
                window[0, :, row - start] = values[n, :, row]
                seen[0, :, row - start] = mask[n, :, row]
            torch.testing.assert_close(
                result.expected[n, :, 4 * k : 4 * k + 4], network(window, seen)[0, :, 6:10]
            )
            states = stepwise(network.encoder, torch.cat([window * seen, seen], dim=1)[0].T)
            if hidden == "all":
                torch.testing.assert_close(latents[n, :, 4 * k : 4 * k + 4], states[6:10].T)
            else:
                vector = states[-1] if hidden == "last" else states.mean(dim=0)
                torch.testing.assert_close(latents[n, :, k], vector)


def test_all_states_of_windows_given_as_such():
    network = network_of(16, hidden="all")
    values = torch.randn(3, 2, 16, dtype=torch.double)
    mask = torch.ones_like(values)
    states, _ = network.encoder(torch.cat([values, mask], dim=1).transpose(1, 2))
    with LayerOutputs(network, ["encoder", "decoder", "output"]) as outputs:
        result, features = outputs(values, mask)
    torch.testing.assert_close(network.steps(features["encoder"], 3), states.transpose(1, 2))
    network.take_layer("decoder")
    told = network.steps(features["decoder"], 3)
    torch.testing.assert_close(network.output(told.transpose(1, 2)).transpose(1, 2), result)


@pytest.mark.parametrize(
    ("layer", "hidden", "shape"),
    [
        ("encoder", "mean", (1, 8, 10)),
        ("decoder", "last", (1, 6, 10)),
        ("decoder", "all", (1, 6, 40)),
        ("output", "all", (1, 2, 40)),
        ("output", "last", (1, 2, 10)),
        ("start", "last", (1, 12, 10)),
        ("start", "all", (1, 12, 10)),
    ],
)
def test_latents_of_each_layer(layer, hidden, shape):
    network = network_of(16, width=6, hidden=hidden)
    network.take_layer(layer)
    values = torch.randn(1, 2, 40, dtype=torch.double)
    with LayerOutputs(network, [layer]) as outputs:
        result, features = outputs(values, torch.ones_like(values))
    latents = network.steps(features[layer], 1)
    assert latents.shape == shape
    if (layer, hidden) == ("decoder", "all"):  # in the order of time, and of the cores alone
        expected = network.output(latents.transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(expected, result.expected)


def test_hidden_values_are_ignored():
    network = network_of(16)
    values = torch.randn(1, 2, 64, dtype=torch.double)
    mask = (torch.rand(1, 2, 64) > 0.3).double()
    garbage = torch.where(mask > 0, values, 1e6)
    assert torch.equal(network(garbage, mask).expected, network(values, mask).expected)
    assert not torch.allclose(
        network(values * mask, torch.ones_like(mask)).expected, network(values, mask).expected
    )


def test_windows_in_one_batch_do_not_see_one_another():
    network = network_of(16)
    values = torch.randn(5, 2, 16, dtype=torch.double)
    mask = torch.ones_like(values)
    torch.testing.assert_close(network(values, mask)[1:2], network(values[1:2], mask[1:2]))


def test_saved_weights_give_identical_output(trained):
    _, network, _ = trained
    again = LSTMAutoencoder(3, 16, latent=16).eval()
    again.load_state_dict(load(save(network.state_dict())))
    values = torch.randn(2, 3, 64)
    mask = torch.ones_like(values)
    assert torch.equal(again(values, mask).expected, network(values, mask).expected)


@pytest.mark.parametrize(
    ("channels", "sizes", "latent", "width"),
    [(1, {}, 32, 32), (20, {}, 64, 64), (100, {}, 64, 64), (3, {"latent": 5, "width": 7}, 5, 7)],
)
def test_sizes_follow_tags_unless_given(channels, sizes, latent, width):
    network = LSTMAutoencoder(channels, 16, **sizes)
    assert network.latent == network.encoder.hidden_size == latent
    assert network.decoder.hidden_size == width
    assert network.width == 4 * max(latent, width)
    assert isinstance(dict(network.named_modules())[network.bottleneck_name], nn.LSTM)


@pytest.mark.parametrize(("width", "rows"), [(None, 65_536), (32, 65_536), (33, 32_768)])
def test_tiles_are_shorter_for_larger_states(width, rows):
    assert LSTMAutoencoder(3, 16, latent=32, width=width).most_rows == rows


@pytest.mark.parametrize(
    ("hidden", "said"),
    [("lst", "'lst'"), ("zzz", "'zzz'"), (1, "1")],
)
def test_wrong_choice_of_states_refused(hidden, said):
    hint = "; did you mean 'last'?" if hidden == "lst" else "."
    with pytest.raises(UsageError) as refused:
        LSTMAutoencoder(2, 16, hidden=hidden)
    assert str(refused.value) == (
        f"model.options: hidden is {said}, expected one of last, mean, all{hint}"
    )
