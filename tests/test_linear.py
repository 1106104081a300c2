"""The linear autoencoder: known planes, windows that see nothing but themselves, a fault found."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from sensor_ad import training
from sensor_ad.config import TrainingSettings
from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs
from sensor_ad.models.linear import LinearAutoencoder
from sensor_ad.training import make_series, train_network

T = 1200
TIME = np.arange(T)
SINES = np.stack([np.sin(TIME / 5), np.cos(TIME / 5), np.sin(TIME / 5 + 1)], axis=1)
SINES = (1.4 * SINES + np.random.default_rng(0).normal(0, 0.05, SINES.shape)).astype(np.float32)
FAULT = slice(1000, 1060)


def network_of(window, channels=2, **sizes):
    torch.manual_seed(window)
    return LinearAutoencoder(channels, window, **sizes).double().eval()


def zeroed(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network


@pytest.fixture(scope="module")
def trained():
    """Give an untrained network, one that has learnt the sines, and the history of its training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = LinearAutoencoder(3, 16, latent=2)
    before = copy.deepcopy(network).eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FEWEST_SAMPLES", 1024)
        device, ones = torch.device("cpu"), np.ones_like(SINES)
        parts = [
            make_series(SINES, ones, part, network, device) for part in (TIME < 900, TIME >= 932)
        ]
        settings = TrainingSettings(batch=16, learning_rate=0.01)
        result = train_network(network, *parts, settings, 0, epochs=5)
    yield before, network.eval(), result.history
    torch.set_num_threads(threads)


def means_of(window, relu):
    """Make a network whose latents are the means of two tags, and which expects them everywhere."""
    network = zeroed(LinearAutoencoder(2, window, latent=2, relu=relu)).eval()
    with torch.no_grad():
        for tag in range(2):
            place = slice(tag * window, (tag + 1) * window)
            network.encoder.weight[tag, place] = 1 / window
            network.decoder.weight[place, tag] = 1
    return network


VALUES = torch.tensor([[[1.0, 2, 3, 4, 5, 6, 7, 8], [-1, -1, -1, -1, -2, -2, -2, -2]]])


@pytest.mark.parametrize(("relu", "means"), [(False, [4.5, -1.5]), (True, [4.5, 0])])
def test_known_weights_give_the_means_of_a_window(relu, means):
    network = means_of(8, relu)
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        expected, features = outputs(VALUES, torch.ones_like(VALUES))
    assert features[network.bottleneck_name].tolist() == [means]
    assert expected[0, 0].tolist() == [means[0]] * 8
    assert expected[0, 1].tolist() == [means[1]] * 8


def test_hidden_cells_are_not_counted_in_the_means():
    mask = torch.ones_like(VALUES)
    mask[0, 0, 4:] = 0
    expected = means_of(8, relu=False)(VALUES, mask)
    assert expected[0, :, 0].tolist() == [(1 + 2 + 3 + 4) / 8, -1.5]


def test_mask_is_seen():
    network = zeroed(LinearAutoencoder(2, 8, latent=1))
    with torch.no_grad():
        network.encoder.weight[0, 16:] = 1  # how many cells were observed
        network.decoder.weight.fill_(1)
    mask = torch.ones_like(VALUES)
    mask[0, 1, 2:5] = 0
    assert network(VALUES, mask).unique().tolist() == [13]


def test_weights_along_a_direction_project_on_it():
    """Principal components are such a plane: what lies in it comes back, the rest is residual."""
    torch.manual_seed(0)
    plane, _ = torch.linalg.qr(torch.randn(16, 2, dtype=torch.double))
    network = zeroed(LinearAutoencoder(2, 8, latent=2).double())
    with torch.no_grad():
        network.encoder.weight[:, :16] = plane.T
        network.decoder.weight.copy_(plane)
    inside = (plane @ torch.tensor([3.0, -2.0], dtype=torch.double)).view(1, 2, 8)
    other = torch.randn(1, 2, 8, dtype=torch.double)
    ones = torch.ones_like(other)

    torch.testing.assert_close(network(inside, ones), inside)
    assert network.encoder(torch.cat([inside, ones], dim=1).flatten(1)).tolist() == [
        pytest.approx([3, -2])
    ]
    residual = (other - network(other, ones)).flatten()
    assert residual.norm() > 1
    torch.testing.assert_close(plane.T @ residual, torch.zeros(2, dtype=torch.double))


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


@pytest.mark.parametrize("relu", [False, True])
def test_long_stretch_equals_windows_one_by_one(relu):
    network = network_of(16, relu=relu)
    values = torch.randn(2, 2, 80, dtype=torch.double)
    mask = (torch.rand(2, 2, 80) > 0.2).double()
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        result, features = outputs(values, mask)
    latents = network.steps(features[network.bottleneck_name], 2)
    assert latents.shape == (2, 8, 20)

    for n in range(2):
        for k in range(20):
            start = 4 * k - 6  # so that the 4 rows stand in the middle of the 16
            window, seen = torch.zeros(2, 1, 2, 16, dtype=torch.double)
            for row in range(max(start, 0), min(start + 16, 80)):
                window[0, :, row - start] = values[n, :, row]
                seen[0, :, row - start] = mask[n, :, row]
            torch.testing.assert_close(
                result.expected[n, :, 4 * k : 4 * k + 4], network(window, seen)[0, :, 6:10]
            )
            vector = network.encoder(torch.cat([window * seen, seen], dim=1).flatten(1))[0]
            torch.testing.assert_close(latents[n, :, k], vector.relu() if relu else vector)


def test_hidden_values_are_ignored():
    network = network_of(16)
    values = torch.randn(1, 2, 64, dtype=torch.double)
    mask = (torch.rand(1, 2, 64) > 0.3).double()
    garbage = torch.where(mask > 0, values, 1e6)
    assert torch.equal(network(garbage, mask).expected, network(values, mask).expected)


def test_windows_in_one_batch_do_not_see_one_another():
    network = network_of(16)
    values = torch.randn(5, 2, 16, dtype=torch.double)
    mask = torch.ones_like(values)
    torch.testing.assert_close(network(values, mask)[1:2], network(values[1:2], mask[1:2]))


def test_saved_weights_give_identical_output(trained):
    _, network, _ = trained
    again = LinearAutoencoder(3, 16, latent=2).eval()
    again.load_state_dict(load(save(network.state_dict())))
    values = torch.randn(2, 3, 64)
    mask = torch.ones_like(values)
    assert torch.equal(again(values, mask).expected, network(values, mask).expected)


@pytest.mark.parametrize(("channels", "latent"), [(1, 8), (10, 10), (100, 32)])
def test_directions_follow_tags_unless_given(channels, latent):
    network = LinearAutoencoder(channels, 16)
    assert network.latent == network.encoder.out_features == latent
    assert network.decoder.out_features == channels * 16
    assert LinearAutoencoder(channels, 16, latent=3).encoder.out_features == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"width": 32},
            "model.width is 32, but the linear network has no layer besides its bottleneck; remove "
            "model.width, or set model.latent.",
        ),
        ({"relu": "yes"}, "model.options: relu is 'yes', expected true or false; set one."),
        ({"relu": 1}, "model.options: relu is 1, expected true or false; set one."),
    ],
)
def test_wrong_options_refused(options, message):
    with pytest.raises(UsageError) as refused:
        LinearAutoencoder(2, 16, **options)
    assert str(refused.value) == message
