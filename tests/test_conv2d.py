"""The 2-D autoencoder: known images; windows as images and pictures, that see only themselves."""

import copy
import doctest

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from sensor_ad import training
from sensor_ad.config import TrainingSettings
from sensor_ad.detector import Detector
from sensor_ad.detector import load as load_detector
from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs
from sensor_ad.models import conv2d
from sensor_ad.models.conv2d import Conv2dAutoencoder, ImageAutoencoder
from sensor_ad.models.network import as_output
from sensor_ad.training import make_series, train_network

T = 1200
TIME = np.arange(T)
NOISE = np.random.default_rng(0).normal(0, 0.05, (T, 3))
SINES = np.stack([np.sin(TIME / 5), np.cos(TIME / 5), np.sin(TIME / 5 + 1)], axis=1)
SINES = (1.4 * SINES + NOISE).astype(np.float32)
HUM = (1.4 * np.sin(TIME[:, None] * [0.8, 0.8, 1.6] + [0, 1, 2]) + NOISE).astype(np.float32)
"""Vibrations with a period of eight rows, and one of four."""
FAULT = slice(1000, 1060)
SPECTRUM = {"image": "spectrogram"}
SCALES = {"image": "scalogram"}
PICTURED = pytest.mark.parametrize("picture", [SPECTRUM, SCALES], ids=["spectrum", "scales"])
TRAINED = pytest.mark.parametrize("which", ["trained", "trained_spectrum", "trained_scales"])


def network_of(window, channels=2, **options):
    torch.manual_seed(window)
    return Conv2dAutoencoder(channels, window, width=4, **options).double().eval()


def zeroed(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network


def fitted(network, values, samples):
    """Give a network before and after a short training, and its history."""
    before = copy.deepcopy(network).eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FEWEST_SAMPLES", samples)
        device, ones = torch.device("cpu"), np.ones_like(values)
        parts = [
            make_series(values, ones, part, network, device) for part in (TIME < 900, TIME >= 932)
        ]
        settings = TrainingSettings(batch=16, learning_rate=0.003)
        result = train_network(network, *parts, settings, 0, epochs=5)
    torch.set_num_threads(threads)
    return before, network.eval(), result.history


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return fitted(Conv2dAutoencoder(3, 16, latent=2), SINES, 1024)


@pytest.fixture(scope="module")
def trained_spectrum():
    torch.manual_seed(0)
    return fitted(Conv2dAutoencoder(3, 64, latent=2, **SPECTRUM), HUM, 256)


@pytest.fixture(scope="module")
def trained_scales():
    torch.manual_seed(0)
    return fitted(Conv2dAutoencoder(3, 64, latent=2, **SCALES), HUM, 256)


def test_known_weights_halve_and_double_an_image():
    """Every other pixel is kept on the way down, and laid down twice in both directions."""
    network = zeroed(ImageAutoencoder(8, 8, channels=[1], latent=1))
    with torch.no_grad():
        network.encoder[0][0].weight[0, 0, 1, 1] = 1
        network.encoder[1].weight[0, 0, 1, 1] = 3
        network.decoder[0][0].weight[0, 0, 1, 1] = 1
        network.decoder[1].weight[0, 0, 1:3, 1:3] = 1
    images = torch.rand(2, 1, 8, 8)
    with LayerOutputs(network, ["encoder"]) as outputs:
        result, features = outputs(images)
    kept = images[..., ::2, ::2]
    assert torch.equal(features["encoder"], 3 * kept)
    assert torch.equal(result, 3 * kept.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_known_weights_tell_tags_from_mask():
    network = zeroed(Conv2dAutoencoder(3, 8, latent=1, width=1))
    with torch.no_grad():
        down, up = network.images.encoder, network.images.decoder
        down[0][0].weight[0, :, 1, 1] = torch.tensor([1.0, 100.0])  # readings and mask
        down[1].weight[0, 0, 1, 1] = up[0][0].weight[0, 0, 1, 1] = 1
        up[1].weight[0, 0, 1, 1:3] = 1  # tags are not halved, time is
    values, mask = torch.rand(1, 3, 8), torch.ones(1, 3, 8)
    mask[0, 1, 2:6] = 0
    expected = ((values + 100) * mask)[..., ::2].repeat_interleave(2, 2)
    torch.testing.assert_close(network(values, mask), expected)


@pytest.mark.parametrize(
    ("size", "steps"),
    [((28, 28), (4, 4)), ((1, 1), (1, 1)), ((5, 64), (3, 4)), ((33, 7), (3, 4)), ((3, 4), (3, 4))],
)
@pytest.mark.parametrize("colours", [1, 3])
def test_images_of_any_size_come_back_in_shape(size, steps, colours):
    network = ImageAutoencoder(*size, image_channels=colours, latent=5)
    images = torch.rand(2, colours, *size)
    assert network(images).shape == images.shape
    assert network.encoder(images).shape == (2, 5, *steps)
    other = torch.rand(1, colours, 19, 50)
    assert network(other).shape == other.shape


def test_images_are_learnt_in_a_plain_loop():
    torch.manual_seed(0)
    place = torch.arange(28)
    centre = torch.randint(6, 22, (64, 2, 1))
    across, down = ((place - centre[:, k]).square().div(-20.0).exp() for k in range(2))
    images = (across[:, None] * down[:, :, None])[:, None]
    network = ImageAutoencoder(28, 28, latent=4)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = nn.functional.mse_loss(network(images), images)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < images.var().item() / 4 < losses[0]


@pytest.mark.parametrize("size", [(28, 28), (9, 33)])
def test_images_in_one_batch_do_not_see_one_another(size):
    torch.manual_seed(0)
    network = ImageAutoencoder(*size).double()  # as in training, too
    images = torch.randn(4, 1, *size, dtype=torch.double)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (5, 3, 28, 28), (5, 28)])
def test_images_of_another_shape_refused(shape):
    with pytest.raises(UsageError) as refused:
        ImageAutoencoder(28, 28)(torch.zeros(shape))
    assert str(refused.value) == (
        f"the images have the shape {shape}, (images, 1, height, width) was expected; reshape them."
    )


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"channels": []}, "image_channels 1, channels () and latent 8"),
        ({"channels": [4, 0]}, "image_channels 1, channels (4, 0) and latent 8"),
        ({"image_channels": 0, "channels": [4]}, "image_channels 0, channels (4,) and latent 8"),
        ({"latent": 0}, "image_channels 1, channels (16, 16, 16) and latent 0"),
    ],
)
def test_images_without_channels_refused(sizes, said):
    with pytest.raises(UsageError) as refused:
        ImageAutoencoder(28, 28, **sizes)
    assert str(refused.value) == (
        f"the image autoencoder was given {said}; expected one hidden layer or more, and numbers "
        "above 0."
    )


def test_examples_of_the_docstrings():
    result = doctest.testmod(conv2d)
    assert result.attempted > 0
    assert result.failed == 0


def test_features_are_channels_times_heights():
    network = Conv2dAutoencoder(16, 64, latent=3)
    values = torch.randn(2, 16, 320)
    layers = ["images.encoder", "images.encoder.0", "images.encoder.0.0"]
    with LayerOutputs(network, layers) as outputs:
        _, features = outputs(values, torch.ones_like(values))
    assert features["images.encoder"].shape == (40, 3, 4, 4)
    latents = network.steps(features["images.encoder"], 2)
    assert latents.shape == (2, 12, 20)
    for channel in range(3):
        for height in range(4):
            mean = features["images.encoder"][27, channel, height].mean()
            torch.testing.assert_close(latents[1, 4 * channel + height, 7], mean)
    assert network.steps(features["images.encoder.0"], 2).shape == (2, 16 * 8, 20)
    hooked = features["images.encoder.0.0"]
    assert (hooked < 0).any()  # the layer's own output, not what the next one makes of it
    torch.testing.assert_close(nn.functional.leaky_relu(hooked, 0.1), features["images.encoder.0"])


def test_layer_that_gives_no_images_refused():
    network = Conv2dAutoencoder(2, 16)
    with pytest.raises(UsageError) as refused:
        network.vectors((torch.zeros(1),))
    assert str(refused.value) == (
        "the layer 'images.encoder' gives a tuple, a tensor (windows, features, …) was expected of "
        "it; set model.layer to another layer."
    )


@TRAINED
def test_loss_falls(which, request):
    _, _, history = request.getfixturevalue(which)
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


def picture_over_normal(network):
    """How many times as much the evidence says where one tag swings twice as fast."""
    values = HUM[:1152].copy()
    values[FAULT, 0] = 1.4 * np.sin(TIME[FAULT] * 1.6) + NOISE[FAULT, 0]
    x = torch.from_numpy(values.T[None])
    with torch.inference_mode():
        (rows,) = network(x, torch.ones_like(x)).rows.values()
    return (rows[0, FAULT].mean() / rows[0, 200:900].mean()).item()


@pytest.mark.parametrize("which", ["trained_spectrum", "trained_scales"])
def test_picture_says_more_in_a_fault(which, request):
    before, network, _ = request.getfixturevalue(which)
    assert picture_over_normal(before) < 1.5
    assert picture_over_normal(network) > 3


@PICTURED
def test_evidence_is_named_for_its_picture(picture):
    network = network_of(32, **picture)
    output = network(*torch.ones(2, 1, 2, 64, dtype=torch.double))
    assert list(output.rows) == [picture["image"]]


@PICTURED
def test_picture_shows_one_tag_or_all(picture):
    values = torch.randn(3, 2, 64, dtype=torch.double)
    mask = torch.ones_like(values)
    every = network_of(64, **picture).drawn(values, mask)
    for tag in (0, 1):
        one = network_of(64, **picture, tag=tag)
        power = one.drawn(values, mask).power
        torch.testing.assert_close(power, every.power[:, tag : tag + 1])
        assert one.images.image_channels == 2
        assert one(values, mask).aside[picture["image"]].shape == power.shape


@PICTURED
def test_evidence_is_the_error_of_the_columns_around_a_row(picture):
    """A network that expects power 1 everywhere: what is said is the square of the picture."""
    network = zeroed(Conv2dAutoencoder(2, 64, **picture)).double().eval()
    torch.manual_seed(0)
    values = torch.randn(1, 2, 64, dtype=torch.double)
    mask = torch.ones_like(values)
    mask[0, 0, 30] = 0
    rows = network(values, mask).rows[picture["image"]][0]
    drawn = network.drawn(values * mask, mask)
    power, counted = drawn.power[0], drawn.counted.expand_as(drawn.power)[0] > 0
    assert not counted[0, :, 8].any()
    columns = torch.zeros(16, dtype=torch.double)
    for k in range(16):
        pixels = power[:, :, k][counted[:, :, k]]
        if len(pixels) >= power.shape[1] / 2:
            columns[k] = pixels.square().mean()
        else:
            columns[k] = pixels.square().sum() / (power.shape[1] / 2)
    assert rows.shape == (64,)
    torch.testing.assert_close(rows[::4], columns)
    torch.testing.assert_close(rows[2:60:4], (columns[:-1] + columns[1:]) / 2)
    torch.testing.assert_close(rows[61], columns[15])


def test_evidence_is_nothing_where_no_frame_is_whole():
    network = network_of(64, **SPECTRUM)
    values = torch.randn(1, 2, 64, dtype=torch.double)
    mask = torch.ones_like(values)
    mask[0, 0, 30] = 0
    share = network.drawn(values * mask, mask).share
    # Row 30 has a weight in the frames around rows 24 to 36, and none where the window is 0.
    assert ((share[0, 0, 0] < 1).nonzero().flatten().tolist()) == [6, 7, 8, 9]
    mask[0, 1, 30] = 0
    rows = network(values, mask).rows["spectrogram"][0]
    assert rows[24:37].tolist() == [0] * 13
    assert (rows[:21] > 0).all()
    assert (rows[41:] > 0).all()


def test_evidence_of_fast_waves_is_there_beside_a_hole():
    """In a window of 256 rows, a frame of the spectrogram has 64."""
    values = torch.randn(1, 2, 256, dtype=torch.double)
    mask = torch.ones_like(values)
    mask[..., 112] = 0
    rows = network_of(256, **SCALES)(values, mask).rows["scalogram"][0]
    assert (rows[16:241] > 0).sum() == 224  # all but that row
    frames = network_of(256, **SPECTRUM)(values, mask).rows["spectrogram"][0]
    assert frames[96:129].tolist() == [0] * 33
    assert rows[0] == 0  # an edge is near at all scales


@PICTURED
def test_middle_of_a_window_is_judged_at_all_frequencies(picture):
    network = network_of(64, **picture)
    drawn = network.drawn(*torch.ones(2, 1, 2, 64, dtype=torch.double))
    core = slice(network.lead // 4, (network.lead + network.stride) // 4 + 1)
    assert (core.start, core.stop) == (6, 11)
    assert (drawn.counted[..., core] == 1).all()


@pytest.mark.parametrize(
    ("picture", "step"), [(SPECTRUM, 2), (SCALES, 4)], ids=["spectrum", "scales"]
)
def test_picture_comes_with_the_share_observed(picture, step):
    """Of 8 frequencies every second is kept on the way down, of 12 scales every fourth."""
    network = zeroed(Conv2dAutoencoder(1, 64, latent=1, width=1, **picture)).double()
    with torch.no_grad():
        down, up = network.images.encoder, network.images.decoder
        down[0][0].weight[0, 1, 1, 1] = 1  # of power and share, the share
        down[1][0].weight[0, 0, 1, 1] = down[2].weight[0, 0, 1, 1] = 1
        up[0][0].weight[0, 0, 1, 1] = 1
        up[1][0].weight[0, 0, 1 : 1 + step // 2, 1:3] = up[2].weight[0, 0, 1:3, 1:3] = 1
    values, mask = torch.randn(2, 1, 1, 64, dtype=torch.double)
    mask = (mask > 0).double()
    told = network(values, mask).aside[picture["image"]]
    share = network.drawn(values * mask, mask).share.expand_as(told)
    assert 0 < share.min() < share.max() < 1
    kept = share[..., ::step, ::4]
    torch.testing.assert_close(told, kept.repeat_interleave(step, 2).repeat_interleave(4, 3))


@PICTURED
def test_readings_are_not_judged_by_a_picture(picture):
    network = network_of(32, **picture)
    values = torch.randn(1, 2, 64, dtype=torch.double)
    mask = (torch.rand(1, 2, 64) > 0.3).double()
    assert torch.equal(network(values, mask).expected, values * mask)
    assert torch.equal(network.judged(mask), torch.zeros_like(mask))
    assert network_of(32).judged(mask[..., :32]) is None


@pytest.mark.parametrize(
    ("picture", "pixels"), [(SPECTRUM, 8 * 9), (SCALES, 38)], ids=["spectrum", "scales"]
)
def test_picture_is_learnt_where_the_truth_is_whole(picture, pixels):
    """What was hidden from the network counts; pixels with a hole in the truth do not."""
    network = zeroed(Conv2dAutoencoder(1, 64, **picture))
    torch.manual_seed(0)
    values = torch.randn(1, 1, 64)
    truth, shown = torch.ones_like(values), torch.ones_like(values)
    truth[0, 0, 40:] = 0
    shown[0, 0, 10:] = 0
    loss = network.loss(network(values * shown, shown), values, truth, 0)
    drawn = network.drawn(values * truth, truth)
    whole = drawn.power[drawn.counted.expand_as(drawn.power) == 1]
    assert len(whole) == pixels
    expected = nn.functional.huber_loss(torch.zeros_like(whole), whole, delta=2.0)
    torch.testing.assert_close(loss, expected)


CASES = [
    (8, {}),
    (16, {}),
    (64, {}),
    (32, SPECTRUM),
    (64, {**SPECTRUM, "tag": 1}),
    (32, SCALES),
    (64, {**SCALES, "tag": 1}),
]


def said_of_rows(network, values, mask):
    """(N, T) what depends on the network's weights, by row."""
    output = as_output(network(values, mask))
    return next(iter(output.rows.values()), output.expected.sum(dim=1))


@pytest.mark.parametrize(("window", "options"), CASES)
def test_reach_equals_the_measured_one(window, options):
    network = network_of(window, **options)
    values = torch.randn(1, 2, 4 * window, dtype=torch.double, requires_grad=True)
    result = said_of_rows(network, values, torch.ones_like(values))

    farthest = 0
    for row in range(2 * window, 2 * window + network.stride):
        (gradient,) = torch.autograd.grad(result[0, row], values, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1)).nonzero()
        farthest = max(farthest, row - int(rows[0]), int(rows[-1]) - row)

    assert farthest == network.reach


@pytest.mark.parametrize(("window", "options"), CASES)
def test_long_stretch_equals_windows_one_by_one(window, options):
    network = network_of(window, **options)
    stride, rows = window // 4, 3 * window
    values = torch.randn(2, 2, rows, dtype=torch.double)
    mask = (torch.rand(2, 2, rows) > 0.02).double()
    with LayerOutputs(network, ["images.encoder"]) as outputs:
        result, features = outputs(values, mask)
        latents = network.steps(features["images.encoder"], 2)
        for n in range(2):
            for k in range(12):
                start = k * stride - (window - stride) // 2
                part, seen = torch.zeros(2, 1, 2, window, dtype=torch.double)
                for row in range(max(start, 0), min(start + window, rows)):
                    part[0, :, row - start] = values[n, :, row]
                    seen[0, :, row - start] = mask[n, :, row]
                alone, single = outputs(part, seen)
                alone, core = as_output(alone), slice(k * stride - start, (k + 1) * stride - start)
                at = slice(k * stride, (k + 1) * stride)
                torch.testing.assert_close(result.expected[n, :, at], alone.expected[0, :, core])
                assert result.rows.keys() == alone.rows.keys()
                for name, evidence in result.rows.items():
                    torch.testing.assert_close(evidence[n, at], alone.rows[name][0, core])
                image = single["images.encoder"][0]  # channels, heights, time
                vector = [row.mean().item() for channel in image for row in channel]
                assert latents[n, :, k].tolist() == pytest.approx(vector)


@pytest.mark.parametrize(("window", "options"), CASES)
def test_hidden_values_are_ignored(window, options):
    network = network_of(window, **options)
    values = torch.randn(1, 2, 4 * window, dtype=torch.double)
    mask = (torch.rand(values.shape) > 0.02).double()
    mask[0, 0, window : 2 * window] = 0
    garbage = torch.where(mask > 0, values, 1e6)
    one, other = as_output(network(garbage, mask)), as_output(network(values, mask))
    assert torch.equal(one.expected, other.expected)
    for name in other.rows:
        assert torch.equal(one.rows[name], other.rows[name])


@pytest.mark.parametrize(("window", "options"), CASES)
def test_windows_in_one_batch_do_not_see_one_another(window, options):
    network = network_of(window, **options)
    values = torch.randn(5, 2, window, dtype=torch.double)
    mask = torch.ones_like(values)
    together = said_of_rows(network, values, mask)
    torch.testing.assert_close(together[1:2], said_of_rows(network, values[1:2], mask[1:2]))


@TRAINED
def test_saved_weights_give_identical_output(which, request):
    _, network, _ = request.getfixturevalue(which)
    again = Conv2dAutoencoder(3, network.window, latent=2, image=network.image).eval()
    again.load_state_dict(load(save(network.state_dict())))
    values = torch.randn(2, 3, 4 * network.window)
    mask = torch.ones_like(values)
    assert torch.equal(said_of_rows(again, values, mask), said_of_rows(network, values, mask))


@PICTURED
def test_picture_in_a_model_from_fit_to_load(picture, tmp_path):
    """Its evidence gets a column of its own, finds a strange frequency, and survives a bundle."""
    index = pd.date_range("2026-03-01", periods=len(HUM), freq="s", tz="UTC", name="time")
    settings = {
        "asset": "hum",
        "device": "cpu",
        "data": {"train": ["none.csv"]},
        "model": {"name": "conv2d", "options": {**picture, "tag": 0}},
        "prepare": {"window": 32},
        "training": {"max_epochs": 4},
        "scoring": {"trees": 20, "bank_size": 64},
    }
    detector = Detector(settings).fit(pd.DataFrame(HUM, index, ["a", "b", "c"]))
    later = HUM.copy()
    later[FAULT, 0] = 1.4 * np.sin(TIME[FAULT] * 1.6) + NOISE[FAULT, 0]
    later = pd.DataFrame(later, index + pd.Timedelta(days=1), ["a", "b", "c"])
    scores = detector.score(later)
    said = scores[picture["image"]].to_numpy()
    assert np.median(said[FAULT]) > 2 * np.quantile(said[200:900], 0.9)
    assert scores["scorable"].mean() > 0.9

    detector.save(tmp_path / "model")
    again = load_detector(tmp_path / "model").score(later)
    pd.testing.assert_frame_equal(again, scores, check_exact=True)


@pytest.mark.parametrize(
    ("channels", "width", "options", "values", "rows"),
    [
        (16, None, {}, 64, 65_536),
        (100, None, {}, 400, 16_384),
        (16, 64, {}, 256, 32_768),
        (16, None, SPECTRUM, 64, 65_536),
        (16, None, SCALES, 96, 65_536),
        (100, None, SCALES, 600, 8_192),
    ],
)
def test_tiles_are_shorter_for_larger_images(channels, width, options, values, rows):
    network = Conv2dAutoencoder(channels, 64, width=width, **options)
    assert (network.width, network.most_rows) == (values, rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image": "spectogram"},
            "model.options: image is 'spectogram', expected one of tags, spectrogram, scalogram; "
            "did you mean 'spectrogram'?",
        ),
        (
            {"image": "scalograms"},
            "model.options: image is 'scalograms', expected one of tags, spectrogram, scalogram; "
            "did you mean 'scalogram'?",
        ),
        (
            {"image": 3},
            "model.options: image is 3, expected one of tags, spectrogram, scalogram.",
        ),
        (
            {**SPECTRUM, "tag": 2},
            "model.options: tag is 2, expected the number of a column from 0 to 1; correct it, or "
            "set -1 for all tags.",
        ),
        (
            {**SCALES, "tag": -2},
            "model.options: tag is -2, expected the number of a column from 0 to 1; correct it, or "
            "set -1 for all tags.",
        ),
        (
            {**SPECTRUM, "tag": True},
            "model.options: tag is True, expected the number of a column from 0 to 1; correct it, "
            "or set -1 for all tags.",
        ),
        (
            {"tag": 1},
            "model.options: tag is 1, but an image of tags × time shows all tags; remove it, or "
            'set image = "spectrogram" or "scalogram".',
        ),
        (
            SPECTRUM,
            "the window has 16 rows, a spectrogram needs at least 32; set a longer prepare.window "
            "(and train on a longer history, if it was shortened).",
        ),
        (
            SCALES,
            "the window has 16 rows, a scalogram needs at least 32; set a longer prepare.window "
            "(and train on a longer history, if it was shortened).",
        ),
    ],
)
def test_wrong_options_refused(options, message):
    with pytest.raises(UsageError) as refused:
        Conv2dAutoencoder(2, 16, **options)
    assert str(refused.value) == message
