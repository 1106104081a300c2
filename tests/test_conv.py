"""The network: how far it sees, what it ignores, and that a stretch can be cut anywhere."""

import pytest
import torch

from sensor_ad.config import ModelSettings
from sensor_ad.models import ConvAutoencoder, make_network

WINDOWS = [8, 16, 32, 64, 128, 256]


def network_of(window, channels=2, **sizes):
    torch.manual_seed(window)
    return ConvAutoencoder(channels, window, **sizes).double().eval()


def rows_seen(output, values):
    """First and last row of the input on which an output depends."""
    (gradient,) = torch.autograd.grad(output, values, retain_graph=True)
    rows = gradient.abs().sum(dim=(0, 1)).nonzero()
    return int(rows[0]), int(rows[-1])


@pytest.mark.parametrize("window", WINDOWS)
def test_reach_equals_the_measured_one(window):
    network = network_of(window, latent=2, width=4)
    T = 2 * (network.reach // network.stride + 2) * network.stride + network.stride
    values = torch.randn(1, 2, T, dtype=torch.double, requires_grad=True)
    result = network(values, torch.ones_like(values))

    start = T // 2 // network.stride * network.stride
    farthest = 0
    for row in range(start, start + network.stride):
        first, last = rows_seen(result[0, :, row].sum(), values)
        farthest = max(farthest, row - first, last - row)

    assert farthest == network.reach


@pytest.mark.parametrize("window", WINDOWS)
def test_reach_of_the_encoder_equals_the_measured_one(window):
    network = network_of(window, latent=2, width=4)
    steps = 2 * (network.encoder_reach // network.stride + 2) + 1
    shape = (1, 2, steps * network.stride)
    values = torch.randn(shape, dtype=torch.double, requires_grad=True)
    latents = network.bottleneck(network.encoder(torch.cat([values, torch.ones(shape)], dim=1)))

    assert latents.shape == (1, 2, steps)
    start = steps // 2 * network.stride
    first, last = rows_seen(latents[0, :, steps // 2].sum(), values)

    assert max(start - first, last - (start + network.stride - 1)) == network.encoder_reach


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("steps", [1, 2, 8, 13])
def test_output_is_as_long_as_the_input(window, steps):
    network = network_of(window, channels=3)
    values = torch.randn(2, 3, steps * network.stride, dtype=torch.double)
    assert network(values, torch.ones_like(values)).shape == values.shape


@pytest.mark.parametrize("window", WINDOWS)
def test_window_has_eight_latent_steps_at_most(window):
    network = network_of(window)
    assert window / network.stride == (8 if window > 8 else 4)


def test_hidden_values_are_ignored():
    network = network_of(64)
    values = torch.randn(1, 2, 256, dtype=torch.double)
    mask = (torch.rand(1, 2, 256) > 0.3).double()
    garbage = torch.where(mask > 0, values, 1e6)
    assert torch.equal(network(garbage, mask), network(values, mask))


def test_mask_is_seen():
    network = network_of(64)
    values = torch.zeros(1, 2, 256, dtype=torch.double)
    mask = torch.ones_like(values)
    mask[:, 1, 100:140] = 0
    assert not torch.allclose(network(values, mask), network(values, torch.ones_like(mask)))


@pytest.mark.parametrize("window", [8, 64, 256])
@pytest.mark.parametrize("cut", [1, 3])
def test_stretch_cut_at_the_stride_gives_the_same_inside(window, cut):
    torch.manual_seed(0)
    network = ConvAutoencoder(2, window).eval()
    T = 16 * (network.reach // network.stride + 1) * network.stride
    values, mask = torch.randn(1, 2, T), (torch.rand(1, 2, T) > 0.1).float()
    start, stop = cut * network.stride, T - 2 * cut * network.stride

    with torch.inference_mode():
        whole = network(values, mask)
        part = network(values[..., start:stop], mask[..., start:stop])

    inner = slice(network.reach, stop - start - network.reach)
    torch.testing.assert_close(
        part[..., inner], whole[..., start:stop][..., inner], atol=1e-5, rtol=0
    )


def test_stretches_in_one_batch_do_not_see_one_another():
    network = network_of(64)
    values = torch.randn(3, 2, 128, dtype=torch.double)
    mask = torch.ones_like(values)
    torch.testing.assert_close(network(values, mask)[1:2], network(values[1:2], mask[1:2]))


@pytest.mark.parametrize(
    ("channels", "sizes", "latent", "width"),
    [(1, {}, 2, 16), (10, {}, 5, 32), (100, {}, 32, 128), (10, {"latent": 3, "width": 8}, 3, 8)],
)
def test_sizes_follow_tags_unless_given(channels, sizes, latent, width):
    network = make_network(ModelSettings(**sizes), channels, 64)
    assert (network.latent, network.width) == (latent, width)
    assert network.bottleneck.out_channels == latent
    assert dict(network.named_modules())[network.bottleneck_name] is network.bottleneck
