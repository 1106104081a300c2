"""The fusion transformer: past and known inputs alone, quantiles, and what it must not do."""

import math
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from sensor_ad import training
from sensor_ad.config import TrainingSettings
from sensor_ad.errors import UsageError
from sensor_ad.features import LayerOutputs
from sensor_ad.models.network import Output
from sensor_ad.models.tft import MEDIAN, NARROWEST, QUANTILES, FusionForecaster
from sensor_ad.training import make_series, train_network

MISS = "interval_miss"
T = 800
TIME = np.arange(T)
PULSE = np.where(TIME // 37 % 2, 1.0, -1.0)
"""A command that nobody could foretell by the sine of another tag."""
PLANT = np.stack([np.sin(TIME / 5), PULSE, np.cos(TIME / 5) + PULSE], axis=1)
PLANT = (PLANT + np.random.default_rng(0).normal(0, 0.03, PLANT.shape)).astype(np.float32)
KNOWN = (False, True, False)
LATENTS = 16
ABSENT = "the extra 'tft' is not installed"


@pytest.fixture(autouse=True)
def installed(request):
    """Skip where the extra is not installed, but for the test of that."""
    if request.function is not test_absence_of_the_library_is_told:
        pytest.importorskip("pytorch_forecasting", reason=ABSENT)


def network_of(channels=2, window=16, **more):
    torch.manual_seed(0)
    return FusionForecaster(channels, window, **more).double().eval()


def random_cells(channels, rows, count=1, share=0.9):
    torch.manual_seed(1)
    shape = (count, channels, rows)
    return torch.randn(shape).double(), (torch.rand(shape) < share).double()


@pytest.fixture(scope="module")
def trained():
    """Give a network that has learnt the plant, and the history of its training."""
    pytest.importorskip("pytorch_forecasting", reason=ABSENT)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = FusionForecaster(3, 16, known=KNOWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "FEWEST_SAMPLES", 512)
        device, ones = torch.device("cpu"), np.ones_like(PLANT)
        parts = [
            make_series(PLANT, ones, part, network, device) for part in (TIME < 600, TIME >= 620)
        ]
        settings = TrainingSettings(batch=32, learning_rate=0.01)
        result = train_network(network, *parts, settings, 0, epochs=4)
    yield network.eval(), result.history
    torch.set_num_threads(threads)


def test_absence_of_the_library_is_told(monkeypatch):
    for name in ("pytorch_forecasting", "pytorch_forecasting.models.temporal_fusion_transformer"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError) as refused:
        FusionForecaster(2, 16)
    assert str(refused.value) == (
        "model.name is 'tft', which needs PyTorch Forecasting, but that is not installed; install "
        "it by: pip install 'sensor-ad[tft]'."
    )


def test_known_quantiles_give_known_expectation_and_misses():
    """The output layer's weights are 0, so that its biases are the quantiles."""
    network = FusionForecaster(3, 8, known=KNOWN).eval()
    first, last = torch.arange(-3.0, 4.0), torch.full((7,), 5.0)
    with torch.no_grad():
        network.tft.output_layer.weight.zero_()
        # Crossed quantiles are put in order.
        network.tft.output_layer.bias.copy_(torch.cat([first.flip(0), last]))
    values, mask = torch.zeros(1, 3, 10), torch.ones(1, 3, 10)
    values[0, :, 8] = torch.tensor([6.0, 7.0, 5.0 + 3 * NARROWEST])
    values[0, :, 9] = torch.tensor([3.0, 9.0, -1.0])
    mask[0, 2, 9] = 0

    with torch.inference_mode():
        output = network(values, mask)

    assert output.expected[0, 0].tolist() == [0] * 10
    assert output.expected[0, 1].tolist() == [0] * 8 + [7, 9]
    assert output.expected[0, 2].tolist() == [0] * 8 + [5, 5]
    # The first tag's interval, -3 to 3, is missed by 1, then not; the other's by 3 halves.
    both = ((1**4 + 3**4) / 2) ** 0.25
    assert output.rows[MISS][0].tolist() == pytest.approx([0] * 8 + [both, 0], rel=1e-5)


def test_known_quantiles_give_known_loss():
    network = FusionForecaster(2, 8, known=(True, False))
    values, mask = torch.zeros(1, 2, 10), torch.ones(1, 2, 10)
    values[0, :, 8:] = torch.tensor([2.0, -1.0])
    quantiles = torch.zeros(1, 1, 2, len(QUANTILES))

    def loss():
        return network.loss(Output(values, {}, {"quantiles": quantiles}), values, mask, 0).item()

    # Quantile q of 0 misses 2 by 2 q, and -1 by 1 - q; q is 0.5 on average.
    assert sum(QUANTILES) / len(QUANTILES) == pytest.approx(0.5)
    assert loss() == pytest.approx((2 * 0.5 + 1 * 0.5) / 2)
    mask[0, 1, 9] = 0
    assert loss() == pytest.approx(2 * 0.5)
    quantiles[..., MEDIAN] = 3.0
    assert loss() == pytest.approx((2 * (3.5 - 0.5) + 0.5 * 1) / 7)


@pytest.mark.parametrize("window", [8, 16, 32])
def test_reach_equals_the_measured_one_and_nothing_ahead_is_seen(window):
    network = network_of(2, window)
    assert (network.span, network.stride, network.lead) == (
        window + window // 4, window // 4, window,
    )  # fmt: skip
    values, mask = random_cells(2, 4 * window, share=2)
    values.requires_grad_()
    expected = network(values, mask).expected
    farthest = 0
    for row in range(2 * window, 2 * window + network.stride):
        (gradient,) = torch.autograd.grad(expected[0, :, row].sum(), values, retain_graph=True)
        seen = gradient.abs().sum(dim=(0, 1)).nonzero()
        assert (int(seen[0]), int(seen[-1])) == (window, 2 * window - 1)
        farthest = max(farthest, row - int(seen[0]))
    assert farthest == network.reach


def test_known_tag_is_seen_up_to_the_row_itself():
    network = network_of(2, 16, known=(False, True))
    values, mask = random_cells(2, 64, share=2)
    values.requires_grad_()
    expected = network(values, mask).expected
    for row in range(32, 36):
        (gradient,) = torch.autograd.grad(expected[0, 0, row], values, retain_graph=True)
        measured, known = gradient[0].abs()
        assert int(measured.nonzero()[-1]) == 31
        assert int(known.nonzero()[-1]) == row
    assert torch.equal(expected[0, 1], values[0, 1])


def test_long_stretch_equals_its_windows():
    network = network_of(3, 16, known=KNOWN)
    values, mask = random_cells(3, 48, 2)
    with torch.inference_mode():
        output = network(values, mask)
        for start in range(0, 48, 4):
            window = [
                torch.nn.functional.pad(cells, (16, 0))[..., start : start + 20]
                for cells in (values, mask)
            ]
            one = network(*window)
            rows = slice(start, start + 4)
            torch.testing.assert_close(output.expected[..., rows], one.expected[..., 16:])
            torch.testing.assert_close(output.rows[MISS][:, rows], one.rows[MISS][:, 16:])
            assert not one.rows[MISS][:, :16].any()


@pytest.mark.parametrize("cut", [1, 3])
def test_stretch_cut_at_the_stride_gives_the_same_inside(cut):
    torch.manual_seed(0)
    network = FusionForecaster(2, 16).eval()
    values, mask = (cells.float() for cells in random_cells(2, 160))
    start, stop = cut * network.stride, 160 - 2 * cut * network.stride
    with torch.inference_mode():
        whole = network(values, mask)
        part = network(values[..., start:stop], mask[..., start:stop])
    near = {"atol": 1e-5, "rtol": 0}
    inner = slice(network.reach + 1, stop - start)
    outer = slice(start + network.reach + 1, stop)
    torch.testing.assert_close(part.expected[..., inner], whole.expected[..., outer], **near)
    torch.testing.assert_close(part.rows[MISS][:, inner], whole.rows[MISS][:, outer], **near)
    judged = network.judged(mask[..., start:stop])
    assert torch.equal(judged[..., inner], network.judged(mask)[..., outer])


def test_what_is_judged():
    network = network_of(3, 16, known=KNOWN)
    mask = torch.ones(1, 3, 48)
    mask[0, 0, 30], mask[0, [0, 2], 32:44] = 0, 0

    judged = network.judged(mask)[0]

    # The first 16 rows have less than nine tenths of a history, as has the last horizon.
    history = torch.zeros(48)
    history[16:32] = 1
    assert judged[1].sum() == 0
    assert judged[2].tolist() == history.tolist()
    history[30] = 0
    assert judged[0].tolist() == history.tolist()


def test_window_alone_is_judged_in_its_horizon():
    network = network_of(3, 16, known=KNOWN)
    judged = network.judged(torch.ones(2, 3, 20))
    assert judged.sum(dim=(0, 1)).tolist() == [0] * 16 + [4] * 4


def test_hidden_values_are_ignored():
    network = network_of(3, 16, known=KNOWN)
    values, mask = random_cells(3, 48, share=0.7)
    garbage = torch.where(mask > 0, values, 1e6)
    one, other = network(garbage, mask), network(values, mask)
    assert torch.equal(one.expected, other.expected)
    assert torch.equal(one.rows[MISS], other.rows[MISS])
    whole = network(values * mask, torch.ones_like(mask))
    assert not torch.allclose(whole.expected, other.expected)


def test_windows_in_one_batch_do_not_see_one_another():
    network = network_of()
    values, mask = random_cells(2, 20, 3)
    one, all_ = network(values[1:2], mask[1:2]), network(values, mask)
    torch.testing.assert_close(all_.expected[1:2], one.expected)


def test_evaluation_is_deterministic_and_training_drops_values():
    network = network_of(dropout=0.5)
    cells = random_cells(2, 20)
    assert torch.equal(network(*cells).expected, network(*cells).expected)
    network.train()
    one, other = network(*cells), network(*cells)
    assert not torch.allclose(one.expected, other.expected)
    assert one.rows == {}


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (None, LATENTS),
        ("tft.lstm_decoder", LATENTS),
        ("tft.encoder_variable_selection", LATENTS),
        ("tft.static_enrichment", LATENTS),
        ("tft.static_context_enrichment", LATENTS),
        ("tft.multihead_attn", LATENTS),
        ("tft.pos_wise_ff", LATENTS),
        ("tft.output_layer", 2 * len(QUANTILES)),
    ],
)
def test_any_layer_gives_a_vector_for_each_window(layer, size):
    network = network_of(3, 16, known=KNOWN)
    network.take_layer(layer)
    with LayerOutputs(network, [network.bottleneck_name]) as outputs:
        _, hidden = outputs(*random_cells(3, 48, 2))
    latents = network.steps(hidden[network.bottleneck_name], 2)
    assert latents.shape == (2, size, 12)
    assert torch.isfinite(latents).all()


def test_latents_are_the_last_state_of_the_encoder():
    network = network_of(window=8, lstm_layers=2)
    with LayerOutputs(network, ["tft.lstm_encoder"]) as outputs:
        _, hidden = outputs(*random_cells(2, 16))
    rows, (state, _) = hidden["tft.lstm_encoder"]
    assert (rows.shape, state.shape) == ((8, 8, LATENTS), (2, 8, LATENTS))
    vectors = network.vectors(hidden["tft.lstm_encoder"])
    assert torch.equal(vectors, state[-1])
    torch.testing.assert_close(vectors, rows[:, -1])


def test_mean_over_rows_of_a_layer_without_a_state():
    rows = torch.randn(3, 4, 5)
    network = network_of()
    torch.testing.assert_close(network.vectors((rows, rows)), rows.mean(dim=1))
    assert torch.equal(network.vectors(rows[0]), rows[0])


def test_layer_without_vectors_refused():
    network = network_of()
    network.take_layer("tft.input_embeddings")
    with pytest.raises(UsageError) as refused:
        network.vectors({})
    assert str(refused.value) == (
        "the layer 'tft.input_embeddings' gives a dict, a tensor (windows, features) or "
        "(windows, rows, features) was expected of it; set model.layer to another layer, such "
        "as 'tft.lstm_encoder'."
    )


def test_type_and_device_are_followed():
    network = FusionForecaster(2, 8)
    assert network.tft.dtype == torch.float32
    assert network.double().tft.dtype == torch.float64
    assert network.to("meta").tft.device == torch.device("meta")


def test_mixed_precision_is_left_out():
    network = FusionForecaster(2, 16).eval()
    values, mask = (cells.float() for cells in random_cells(2, 48))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(values, mask)
    assert mixed.expected.dtype == torch.float32
    assert torch.equal(mixed.expected, network(values, mask).expected)


def test_one_tag_alone():
    network = network_of(1)
    output = network(*random_cells(1, 40))
    assert output.expected.shape == (1, 1, 40)
    assert torch.isfinite(output.rows[MISS]).all()


def test_known_tags_alone_refused():
    with pytest.raises(UsageError) as refused:
        FusionForecaster(2, 16, known=(True, True))
    assert str(refused.value) == (
        "the network 'tft' foretells measured tags, but all 2 tags are set-points, commands or "
        "digital; add a measured tag or take another model.name."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 0}, "heads is 0, a whole number from 1 to model.latent, 16,"),
        ({"heads": 4, "latent": 3}, "heads is 4, a whole number from 1 to model.latent, 3,"),
        ({"heads": True}, "heads is True, a whole number from 1 to model.latent, 16,"),
        ({"dropout": 1}, "dropout is 1, a share from 0 to less than 1"),
        ({"dropout": math.nan}, "dropout is nan, a share from 0 to less than 1"),
        ({"lstm_layers": 0}, "lstm_layers is 0, a whole number from 1 on"),
        ({"lstm_layers": "two"}, "lstm_layers is 'two', a whole number from 1 on"),
    ],
)
def test_wrong_option_refused(options, message):
    with pytest.raises(UsageError) as refused:
        FusionForecaster(2, 16, **options)
    assert str(refused.value) == (
        f"model.options: {message} was expected; correct it or leave it out."
    )


@pytest.mark.parametrize(
    ("channels", "window", "rows"), [(16, 64, 4096), (50, 64, 2048), (2, 16, 32768)]
)
def test_tiles_are_short_enough_for_memory(channels, window, rows):
    assert FusionForecaster(channels, window).most_rows == rows


def test_settings_of_size_are_taken():
    network = FusionForecaster(2, 16, latent=12, width=5, lstm_layers=2)
    assert network.tft.hparams.hidden_size == 12
    assert network.tft.hparams.hidden_continuous_size == 5
    assert network.tft.lstm_encoder.num_layers == 2


def test_loss_falls(trained):
    losses = [entry["validate_loss"] for entry in trained[1]]
    assert losses[-1] < losses[0] * 0.8


def test_planted_fault_misses_its_interval_more_than_any_normal_row(trained):
    network, _ = trained
    values = torch.from_numpy(PLANT.T[None].copy())
    values[:, 2, 600] += 6
    mask = torch.ones_like(values)
    with torch.inference_mode():
        output = network(values, mask)

    residual = ((values - output.expected) * network.judged(mask)).abs()[0].amax(dim=0)
    normal = torch.ones(T, dtype=torch.bool)
    normal[600 : 600 + network.reach + 1] = False
    for said in (output.rows[MISS][0], residual):
        assert torch.isfinite(said).all()
        assert said[600] > said[normal].max()
    assert (residual[:8] == 0).all()


def test_weights_saved_and_loaded_say_the_same(trained):
    network, _ = trained
    torch.manual_seed(99)
    again = FusionForecaster(3, 16, known=KNOWN)
    again.load_state_dict(load(save(network.state_dict())))
    values = torch.from_numpy(PLANT.T[None, :, :400].copy())
    with torch.inference_mode():
        one, other = (kind.eval()(values, torch.ones_like(values)) for kind in (network, again))
    assert torch.equal(one.expected, other.expected)
    assert torch.equal(one.rows[MISS], other.rows[MISS])


def test_each_weight_is_saved_once():
    network = FusionForecaster(2, 8)
    state = network.state_dict()
    assert list(state) == [name for name, _ in network.named_parameters()]
    del state["tft.lstm_encoder.weight_ih_l0"]
    with pytest.raises(
        RuntimeError, match=r'Missing key\(s\).*"tft.lstm_encoder.weight_ih_l0"\. $'
    ):
        network.load_state_dict(state)
