"""The variational autoencoder: known answers, and evidence that no cut of a stretch changes."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from sensor_ad import training
from sensor_ad.config import TrainingSettings
from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs
from sensor_ad.models.network import Output
from sensor_ad.models.vae import HIGHEST, LOWEST, VariationalAutoencoder
from sensor_ad.training import make_series, train_network

PROBABILITY = "reconstruction_probability"
WINDOWS = [8, 16, 64, 256]
T = 1200
TIME = np.arange(T)
SINE = np.stack([np.sin(TIME / 9), np.cos(TIME / 9), np.sin(TIME / 9 + 1)], axis=1)
SINE = (SINE + np.random.default_rng(0).normal(0, 0.05, SINE.shape)).astype(np.float32)


def network_of(window, channels=2, **sizes):
    torch.manual_seed(window)
    return VariationalAutoencoder(channels, window, **sizes).double().eval()


def constant_network(**options):
    """Make one that says the same of every cell: it expects 2, with a log-variance of 0."""
    network = VariationalAutoencoder(2, 8, latent=3, width=4, **options).double().eval()
    zero = math.log(-LOWEST / HIGHEST)  # of the clamp, gives 0
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.mean.bias.copy_(torch.tensor([1.0, 0.0, -2.0]))
        network.log_variance.bias.fill_(zero)
        network.output.bias.copy_(torch.tensor([2.0, 2.0, zero, zero]))
    return network


@pytest.fixture(scope="module")
def trained():
    """Give a network that has learnt the sines, and the history of its training."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = VariationalAutoencoder(3, 16, width=16)
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


def test_known_weights_give_known_evidence():
    network = constant_network()
    values = torch.tensor([[[2.0, 3.0, 5.0, 4.0] * 2, [2.0, 3.0, 2.0, 9.0] * 2]]).double()
    mask = torch.ones_like(values)
    mask[0, 1, [3, 7]] = 0

    with torch.inference_mode():
        output = network(values, mask)

    assert output.expected.flatten().tolist() == pytest.approx([2.0] * 16)
    # Half of squared distance over variance, and of log 2π; the last row has one tag observed.
    squared = [0, 1, (9 + 0) / 2, 4]
    wanted = [(one + math.log(2 * math.pi)) / 2 for one in squared] * 2
    assert output.rows[PROBABILITY][0].tolist() == pytest.approx(wanted)


@pytest.mark.parametrize(("epoch", "weight"), [(0, 1 / 5), (1, 2 / 5), (4, 1), (50, 1)])
def test_known_weights_give_known_loss(epoch, weight):
    network = constant_network(kl_weight=0.5, warm_up=4)
    values, mask = torch.full((3, 2, 8), 4.0).double(), torch.ones(3, 2, 8).double()
    mask[:, 1, 4:] = 0

    loss = network.loss(network(values, mask), values, mask, epoch)

    # Latents of mean 1, 0, -2 and variance 1 at two steps of stride 4; 12 cells a sample.
    assert network.stride == 2
    divergence = 4 * (1 + 0 + 4) / 2
    wanted = (4 + math.log(2 * math.pi)) / 2 + 0.5 * weight * divergence / 12
    assert loss.item() == pytest.approx(wanted)


def test_loss_of_nothing_observed_is_a_number():
    network = constant_network(kl_weight=0.0)
    nothing = torch.zeros(1, 2, 8).double()
    assert network.loss(network(nothing, nothing), nothing, nothing, 0).item() == 0


def test_evidence_equals_a_naive_loop():
    network = network_of(16, draws=6)
    values, mask = torch.randn(2, 2, 32).double(), (torch.rand(2, 2, 32) > 0.4).double()
    mask[0, :, 5] = 0

    with LayerOutputs(network, ["mean", "log_variance"]) as outputs:
        output, hidden = outputs(values, mask)

    assert len(network.noise) == 6
    variance = (LOWEST + (HIGHEST - LOWEST) * torch.sigmoid(hidden["log_variance"])).exp()
    for n in range(2):
        for t in range(32):
            likelihoods = []
            for noise in network.noise:
                latents = hidden["mean"][n] + variance[n].sqrt() * noise[:, None]
                with torch.inference_mode():
                    cells = network.output(network.decoder(network.widen(latents[None])))
                decoded = cells[0, :, t]
                cells = [
                    torch.distributions.Normal(
                        decoded[c],
                        ((LOWEST + (HIGHEST - LOWEST) * torch.sigmoid(decoded[2 + c])) / 2).exp(),
                    ).log_prob(values[n, c, t])
                    for c in range(2)
                    if mask[n, c, t]
                ]
                likelihoods.append(sum(cells) / max(len(cells), 1))
            wanted = -sum(likelihoods) / 6
            assert output.rows[PROBABILITY][n, t].item() == pytest.approx(float(wanted), abs=1e-9)
    assert output.rows[PROBABILITY][0, 5] == 0


def test_draws_come_in_pairs_and_are_always_the_same():
    torch.manual_seed(1)
    one = VariationalAutoencoder(4, 16, draws=6)
    torch.manual_seed(2)
    other = VariationalAutoencoder(4, 16, draws=6)
    assert one.noise.shape == (6, 4)
    assert torch.equal(one.noise, other.noise)
    assert torch.equal(one.noise[:3], -one.noise[3:])
    assert len(one.noise.unique()) == 24
    assert "noise" in one.state_dict()


@pytest.mark.parametrize("window", WINDOWS)
def test_reach_equals_the_measured_one(window):
    network = network_of(window, latent=2, width=4)
    T = 2 * (network.reach // network.stride + 2) * network.stride + network.stride
    values = torch.randn(1, 2, T, dtype=torch.double, requires_grad=True)
    output = network(values, torch.ones_like(values))

    start = T // 2 // network.stride * network.stride
    for said in (output.expected[0].sum(dim=0), output.rows[PROBABILITY][0]):
        farthest = 0
        for row in range(start, start + network.stride):
            (gradient,) = torch.autograd.grad(said[row], values, retain_graph=True)
            seen = gradient.abs().sum(dim=(0, 1)).nonzero()
            farthest = max(farthest, row - int(seen[0]), int(seen[-1]) - row)
        assert farthest == network.reach


@pytest.mark.parametrize("window", [8, 64, 256])
@pytest.mark.parametrize("cut", [1, 3])
def test_stretch_cut_at_the_stride_gives_the_same_inside(window, cut):
    torch.manual_seed(0)
    network = VariationalAutoencoder(2, window).eval()
    T = 16 * (network.reach // network.stride + 1) * network.stride
    values, mask = torch.randn(1, 2, T), (torch.rand(1, 2, T) > 0.1).float()
    start, stop = cut * network.stride, T - 2 * cut * network.stride

    with torch.inference_mode():
        whole = network(values, mask)
        part = network(values[..., start:stop], mask[..., start:stop])

    inner = slice(network.reach, stop - start - network.reach)
    for one, other in (
        (part.expected, whole.expected),
        (part.rows[PROBABILITY], whole.rows[PROBABILITY]),
    ):
        torch.testing.assert_close(
            one[..., inner], other[..., start:stop][..., inner], atol=1e-5, rtol=0
        )


def test_hidden_values_are_ignored():
    network = network_of(64)
    values = torch.randn(1, 2, 256, dtype=torch.double)
    mask = (torch.rand(1, 2, 256) > 0.3).double()
    garbage = torch.where(mask > 0, values, 1e6)

    one, other = network(garbage, mask), network(values, mask)

    assert torch.equal(one.expected, other.expected)
    assert torch.equal(one.rows[PROBABILITY], other.rows[PROBABILITY])
    assert torch.equal(network.loss(one, garbage, mask, 0), network.loss(other, values, mask, 0))


def test_training_draws_latents_and_scoring_does_not():
    network = network_of(16)
    values, mask = torch.randn(1, 2, 64).double(), torch.ones(1, 2, 64).double()
    still = [network(values, mask).expected for _ in range(2)]
    network.train()
    drawn = [network(values, mask) for _ in range(2)]

    assert torch.equal(*still)
    assert not torch.allclose(drawn[0].expected, drawn[1].expected)
    assert [dict(output.rows) for output in drawn] == [{}, {}]


def test_spread_stays_between_its_bounds():
    network = network_of(16)
    values, mask = 1e6 * torch.randn(1, 2, 64).double(), torch.ones(1, 2, 64).double()
    aside = network(values, mask).aside
    for name in ("spread", "log_variance"):
        assert LOWEST <= aside[name].min() < aside[name].max() <= HIGHEST


def test_latents_are_the_means():
    network = VariationalAutoencoder(10, 64)
    values, mask = torch.randn(1, 10, 256), torch.ones(1, 10, 256)
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        output, hidden = outputs(values, mask)
    assert network.bottleneck_name == "mean"
    assert torch.equal(hidden["mean"], output.aside["mean"])
    assert network.steps(hidden["mean"], 1).shape == (1, 10, 256 // network.stride)


@pytest.mark.parametrize(
    ("channels", "sizes", "latent", "width"),
    [(1, {}, 2, 64), (16, {}, 16, 64), (100, {}, 32, 128), (9, {"latent": 3, "width": 7}, 3, 7)],
)
def test_sizes_follow_tags_unless_given(channels, sizes, latent, width):
    network = VariationalAutoencoder(channels, 64, **sizes)
    assert (network.latent, network.width) == (latent, width)
    assert network.mean.out_channels == network.log_variance.out_channels == latent


def test_loss_falls(trained):
    losses = [entry["validate_loss"] for entry in trained[1]]
    assert losses[-1] < losses[0] - 0.5
    assert np.isfinite(losses).all()


def test_planted_fault_is_more_surprising_than_any_normal_row(trained):
    network, _ = trained
    values = torch.from_numpy(SINE.T[None].copy())
    fault = slice(600, 620)
    values[:, 1, fault] += 3
    with torch.inference_mode():
        output = network(values, torch.ones_like(values))

    evidence = output.rows[PROBABILITY][0]
    residual = (values - output.expected).abs()[0].amax(dim=0)
    normal = torch.ones(T, dtype=torch.bool)
    normal[fault.start - network.reach : fault.stop + network.reach] = False
    for said in (evidence, residual):
        assert torch.isfinite(said).all()
        assert said[fault].min() > said[normal].max()


def test_weights_saved_and_loaded_say_the_same(trained):
    network, _ = trained
    torch.manual_seed(99)
    again = VariationalAutoencoder(3, 16, width=16)
    again.load_state_dict(load(save(network.state_dict())))
    values = torch.from_numpy(SINE.T[None, :, :512].copy())
    with torch.inference_mode():
        one, other = (kind.eval()(values, torch.ones_like(values)) for kind in (network, again))
    assert isinstance(one, Output)
    assert torch.equal(one.expected, other.expected)
    assert torch.equal(one.rows[PROBABILITY], other.rows[PROBABILITY])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl_weight": -1}, "kl_weight is -1, a number from 0 on"),
        ({"kl_weight": math.nan}, "kl_weight is nan, a number from 0 on"),
        ({"kl_weight": "much"}, "kl_weight is 'much', a number from 0 on"),
        ({"warm_up": 2.5}, "warm_up is 2.5, a whole number of epochs from 0 on"),
        ({"warm_up": -1}, "warm_up is -1, a whole number of epochs from 0 on"),
        ({"warm_up": True}, "warm_up is True, a whole number of epochs from 0 on"),
        ({"draws": 3}, "draws is 3, an even number from 2 on"),
        ({"draws": 0}, "draws is 0, an even number from 2 on"),
    ],
)
def test_wrong_option_refused(options, message):
    with pytest.raises(UsageError) as refused:
        VariationalAutoencoder(2, 16, **options)
    assert str(refused.value) == (
        f"model.options: {message} was expected; correct it or leave it out."
    )
