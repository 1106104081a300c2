"""The convolutional forecaster: it sees the past alone, in one pass, and forecasts what it can."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from sensor_ad import training
from sensor_ad.config import TrainingSettings
from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs
from sensor_ad.models.cnn import ConvForecaster, observed_before
from sensor_ad.models.network import Output
from sensor_ad.training import make_series, train_network

T = 1200
TIME = np.arange(T)
SINE = np.stack([np.sin(TIME / 9), np.cos(TIME / 9), np.sin(TIME / 9 + 1)], axis=1)
SINE = (SINE + np.random.default_rng(0).normal(0, 0.05, SINE.shape)).astype(np.float32)


def network_of(window, channels=2, **sizes):
    torch.manual_seed(window)
    return ConvForecaster(channels, window, **sizes).double().eval()


@pytest.fixture(scope="module")
def trained():
    """Give a network that has learnt the sines, and the history of its training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = ConvForecaster(3, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FEWEST_SAMPLES", 512)
        device, ones = torch.device("cpu"), np.ones_like(SINE)
        parts = [
            make_series(SINE, ones, part, network, device) for part in (TIME < 900, TIME >= 932)
        ]
        settings = TrainingSettings(batch=32, learning_rate=0.01)
        result = train_network(network, *parts, settings, 0, epochs=5)
    yield network.eval(), result.history
    torch.set_num_threads(threads)


def test_known_weights_give_known_forecasts():
    """What is foretold is the row before of one tag, and the mean of three rows of the other."""
    network = ConvForecaster(2, 8, latent=2, width=2, residual=False).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        first, second = (layer.conv for layer in network.layers)
        first.weight[0, 0, 2] = 1  # the newest of three rows
        first.weight[1, 1] = 1 / 3
        second.weight[0, 0, 2] = second.weight[1, 1, 2] = 1
        network.output.weight[0, 0] = network.output.weight[1, 1] = 1

    rising = torch.arange(1.0, 9.0)
    forecast = network(torch.stack([rising, 3 * rising])[None], torch.ones(1, 2, 8))

    assert forecast[0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert forecast[0, 1].tolist() == pytest.approx([0, 1, 3, 6, 9, 12, 15, 18])


def test_residual_layers_add_to_what_they_are_given():
    network = ConvForecaster(2, 16, latent=4, width=4).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.output.weight[:, 0, 0] = 1
    assert [layer.residual for layer in network.layers] == [True, True, True]
    values = torch.randn(1, 2, 8)
    forecast = network(values, torch.ones_like(values))
    torch.testing.assert_close(forecast[0, :, 1:], values[0, :1, :-1].expand(2, 7))
    assert not any(
        layer.residual for layer in ConvForecaster(2, 16, latent=4, width=4, residual=False).layers
    )


@pytest.mark.parametrize(("window", "reach"), [(8, 7), (16, 15), (64, 63), (256, 255)])
def test_row_is_foretold_from_the_reach_before_it_and_nothing_else(window, reach):
    network = network_of(window, latent=2, width=4)
    assert network.reach == reach
    assert network.causal
    values = torch.randn(1, 2, 2 * window + 8, dtype=torch.double, requires_grad=True)
    result = network(values, torch.ones_like(values))

    for row in (reach, window + 3, 2 * window + 7):
        (gradient,) = torch.autograd.grad(result[0, :, row].sum(), values, retain_graph=True)
        seen = gradient.abs().sum(dim=(0, 1)).nonzero()
        assert (int(seen[0]), int(seen[-1])) == (row - reach, row - 1)


@pytest.mark.parametrize("layer", [0, 1, 2, 3, 4])
def test_hidden_layers_do_not_see_their_own_row_either(layer):
    network = network_of(64)
    values, mask = torch.randn(1, 2, 128).double(), torch.ones(1, 2, 128).double()
    changed = values.clone()
    changed[..., 64:] += 5
    with LayerOutputs(network, [f"layers.{layer}"]) as outputs:
        hidden = [outputs(each, mask)[1][f"layers.{layer}"] for each in (values, changed)]
    same = (hidden[0] == hidden[1]).all(dim=1)[0]
    assert same[:65].all()
    assert not same[65]


def test_hidden_values_are_ignored():
    network = network_of(64)
    values = torch.randn(1, 2, 256, dtype=torch.double)
    mask = (torch.rand(1, 2, 256) > 0.3).double()
    garbage = torch.where(mask > 0, values, 1e6)
    assert torch.equal(network(garbage, mask), network(values, mask))
    assert not torch.allclose(network(values * mask, torch.ones_like(mask)), network(values, mask))


@pytest.mark.parametrize("rows", [1, 7, 63])
@pytest.mark.parametrize("share", [0.02, 0.3])
@pytest.mark.parametrize("hole", [0, 2])
def test_observed_before_equals_a_naive_loop(rows, share, hole):
    torch.manual_seed(0)
    mask = (torch.rand(2, 3, 100) < share).float()
    wanted = torch.zeros(2, 1, 100)
    for n in range(2):
        for t in range(100):
            for k in range(max(t - rows, 0), t):
                wanted[n, 0, t] += bool(mask[n, :, max(k - hole, 0) : k + 1].any()) / rows
    torch.testing.assert_close(observed_before(mask, rows, hole), wanted)
    assert wanted.max() > 0


def test_forecast_counts_after_a_history():
    network = network_of(8)
    mask = torch.ones(1, 2, 27)
    mask[0, :, 9:11] = 0  # a hole of a quarter of a window is no end
    mask[0, :, 13:19] = 0
    mask[0, 1, 23] = 0

    judged = network.judged(mask)

    # The history has 7 rows, and nine in ten of them must be there; the first two of six that are
    # not count as seen.
    before = [0, 1, 2, 3, 4, 5, 6, 7, 7, 0, 0, 7, 7] + [0] * 6 + [3, 3, 3, 3, 4, 5, 6, 7]
    assert judged[0, 0].tolist() == [float(count == 7) for count in before]
    assert judged[0, 1].tolist() == [
        float(count == 7 and row != 23) for row, count in enumerate(before)
    ]


def test_loss_counts_judged_rows_alone():
    network = network_of(8)
    mask = torch.ones(1, 2, 24)
    mask[0, 1, 20] = 0
    expected = torch.zeros(1, 2, 24)
    values = torch.ones(1, 2, 24)
    values[..., :7] = values[0, 1, 20] = 1e3
    # Huber's half square; rows 7 to 23 have their history.
    assert network.loss(Output(expected), values, mask, 0).item() == pytest.approx(0.5)
    values[0, 0, 7] = 0
    assert network.loss(Output(expected), values, mask, 0).item() == pytest.approx(0.5 * 32 / 33)


@pytest.mark.parametrize("window", [8, 64, 256])
@pytest.mark.parametrize("cut", [1, 3])
def test_stretch_cut_at_the_stride_gives_the_same_inside(window, cut):
    torch.manual_seed(0)
    network = ConvForecaster(2, window).eval()
    values, mask = torch.randn(1, 2, 8 * window), (torch.rand(1, 2, 8 * window) > 0.1).float()
    start, stop = cut * network.stride, 8 * window - 2 * cut * network.stride
    name = network.bottleneck_name

    with LayerOutputs(network, [name]) as outputs:
        whole, latents = outputs(values, mask)
        part, some = outputs(values[..., start:stop], mask[..., start:stop])

    inner = slice(network.reach, None)
    torch.testing.assert_close(
        part[..., inner], whole[..., start:stop][..., inner], atol=1e-5, rtol=0
    )
    one, other = network.steps(some[name], 1), network.steps(latents[name], 1)
    inner = slice(-(-network.reach // network.stride), None)
    other = other[..., start // network.stride : stop // network.stride]
    torch.testing.assert_close(one[..., inner], other[..., inner], atol=1e-5, rtol=0)
    judged = network.judged(mask)[..., start:stop]
    inner = slice(network.reach, None)
    assert torch.equal(network.judged(mask[..., start:stop])[..., inner], judged[..., inner])


@pytest.mark.parametrize(("window", "stride"), [(8, 1), (16, 2), (32, 4), (64, 8), (1024, 8)])
def test_latents_are_means_over_the_stride(window, stride):
    network = network_of(window, 3)
    assert network.stride == stride
    rows = torch.randn(2, network.latent, 4 * stride).double()
    latents = network.steps(rows, 2)
    assert latents.shape == (2, network.latent, 4)
    for step in range(4):
        mean = rows[..., step * stride : (step + 1) * stride].mean(dim=2)
        torch.testing.assert_close(latents[..., step], mean)


@pytest.mark.parametrize(
    ("channels", "sizes", "latent", "width"),
    [(1, {}, 8, 16), (16, {}, 16, 32), (100, {}, 32, 64), (9, {"latent": 3, "width": 7}, 3, 7)],
)
def test_sizes_follow_tags_unless_given(channels, sizes, latent, width):
    network = ConvForecaster(channels, 64, **sizes)
    assert (network.latent, network.width) == (latent, width)
    assert network.bottleneck_name == "layers.4"
    assert network.layers[-1].conv.out_channels == latent


def test_loss_falls(trained):
    losses = [entry["validate_loss"] for entry in trained[1]]
    assert losses[-1] < losses[0] / 3


def test_planted_fault_misses_its_forecast_more_than_any_normal_row(trained):
    network, _ = trained
    values = torch.from_numpy(SINE.T[None].copy())
    values[:, 1, 600] += 3
    mask = torch.ones_like(values)
    with torch.inference_mode():
        residual = ((values - network(values, mask)) * network.judged(mask)).abs()[0].amax(dim=0)

    normal = torch.ones(T, dtype=torch.bool)
    normal[600 : 600 + network.reach + 1] = False
    assert torch.isfinite(residual).all()
    assert (residual[:8] == 0).all()
    assert residual[600] > 3 * residual[normal].max()


def test_weights_saved_and_loaded_say_the_same(trained):
    network, _ = trained
    torch.manual_seed(99)
    again = ConvForecaster(3, 16)
    again.load_state_dict(load(save(network.state_dict())))
    values = torch.from_numpy(SINE.T[None, :, :512].copy())
    with torch.inference_mode():
        one, other = (kind.eval()(values, torch.ones_like(values)) for kind in (network, again))
    assert torch.equal(one, other)


@pytest.mark.parametrize("value", [1, "yes", 0.5])
def test_wrong_option_refused(value):
    with pytest.raises(UsageError) as refused:
        ConvForecaster(2, 16, residual=value)
    assert str(refused.value) == (
        f"model.options: residual is {value!r}, true or false was expected; correct it or leave it "
        "out."
    )
