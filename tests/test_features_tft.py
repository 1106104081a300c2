"""A Temporal Fusion Transformer of PyTorch Forecasting, made as its users do and not patched."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from sensor_ad.features import features, layers_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries that it loads
    forecasting = pytest.importorskip(
        "pytorch_forecasting", reason="pytorch-forecasting is not installed"
    )

pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = 40


@pytest.fixture(scope="module")
def made():
    k = np.arange(2 * ROWS)
    frame = pd.DataFrame(
        {
            "row": k % ROWS,
            "pump": np.where(k < ROWS, "a", "b"),
            "flow": np.sin(k / 5.0),
            "speed": k / 100.0,
        }
    )
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = forecasting.TimeSeriesDataSet(
            frame,
            time_idx="row",
            target="flow",
            group_ids=["pump"],
            min_encoder_length=4,
            max_encoder_length=8,
            max_prediction_length=2,
            time_varying_unknown_reals=["flow", "speed"],
        )
        tft = forecasting.TemporalFusionTransformer.from_dataset(
            data, hidden_size=4, attention_head_size=2, hidden_continuous_size=4
        )
    return tft.train(), data


def test_features_in_five_lines(made):
    tft, data = made
    loader = data.to_dataloader(train=False, batch_size=16)
    found = features(tft, loader, "lstm_encoder", pool="mean_spread")

    assert found.shape == (len(data), 2 * 4)
    assert np.isfinite(found).all()
    assert found.std(axis=0).min() > 0
    assert tft.training


def test_they_are_what_the_layer_gave(made):
    tft, data = made
    heard = []
    handle = tft.lstm_encoder.register_forward_hook(lambda *given: heard.append(given[2][1][0]))
    loader = data.to_dataloader(train=False, batch_size=16)
    try:
        found = features(tft, loader, "lstm_encoder", pool="last")
        batches = len(heard)
        tft.eval()
        with torch.inference_mode():
            for x, _ in loader:
                tft(x)
    finally:
        handle.remove()
        tft.train()
    # Of a one-way LSTM the last step of each sample, wherever its padding begins, is its state.
    expected = torch.cat([state[-1] for state in heard[batches:]])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_several_layers_with_outputs_of_several_parts(made):
    tft, data = made
    loader = data.to_dataloader(train=False, batch_size=16)
    found = features(
        tft,
        loader,
        ["lstm_encoder", "static_enrichment", "multihead_attn"],
        pool="mean",
        time_axis={"static_enrichment": 1, "multihead_attn": 1},
        output={"multihead_attn": 0},
    )
    assert {name: array.shape for name, array in found.items()} == {
        "lstm_encoder": (len(data), 4),
        "static_enrichment": (len(data), 4),
        "multihead_attn": (len(data), 4),
    }


def test_its_layers_are_listed(made):
    tft, data = made
    x, _ = next(iter(data.to_dataloader(train=False, batch_size=3)))
    listed = {layer.name: layer for layer in layers_of(tft, x)}
    assert listed["multihead_attn"].output.startswith("(tensor (3, 2, 4), tensor (3, 2, 2, ")
    assert listed["lstm_encoder"].calls == 1
    assert listed["logging_metrics"].calls == 0
