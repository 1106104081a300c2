"""What every network keeps: it learns, finds what was planted, and is the same after loading."""

import json

import numpy as np
import pandas as pd
import plant
import pytest
import torch

from sensor_ad.config import NETWORK_WORDS, ModelSettings
from sensor_ad.detector import Detector, load
from sensor_ad.errors import UsageError
from sensor_ad.models import NETWORKS, Network, make_network
from sensor_ad.models.network import LEAST_SEEN, WindowNetwork, seen_enough

EPOCHS = 6
OF_ITS_OWN = {"vae": ["reconstruction_probability"], "tft": ["interval_miss"]}
WINDOWED = {"linear", "conv2d", "lstm", "tft"}


def skip_without(word):
    if word == "tft":
        pytest.importorskip(
            "pytorch_forecasting", reason="PyTorch Forecasting is not installed (extra tft)"
        )


def test_words_of_the_config_are_the_networks():
    assert set(NETWORK_WORDS) == set(NETWORKS)


@pytest.fixture(scope="module", params=NETWORK_WORDS)
def made(request, tmp_path_factory):
    """Fit a network to the plant, score its faults, save it and load it again."""
    skip_without(request.param)
    settings = {"model": {"name": request.param}, "training": {"max_epochs": EPOCHS}}
    detector = Detector(plant.merged(plant.SETTINGS, settings))
    detector.fit(plant.plant(0, plant.TRAIN_ROWS))
    scores = detector.score(plant.later())
    folder = tmp_path_factory.mktemp(request.param) / "model"
    detector.save(folder)
    return request.param, detector, scores, folder


def test_loss_falls(made):
    _, detector, _, _ = made
    losses = [entry["train_loss"] for entry in detector.fitted.history]
    assert len(losses) == EPOCHS
    assert losses[-1] < losses[0]


def test_scores_are_finite_and_higher_for_what_was_planted(made):
    word, detector, scores, _ = made
    assert np.isfinite(scores.loc[scores["scorable"], "score"]).all()
    assert scores["scorable"].mean() > 0.95
    fault, within = np.zeros(len(scores), dtype=bool), np.zeros(len(scores), dtype=bool)
    for event in detector.events():
        first, last = (
            pd.Timestamp(us, unit="us", tz="UTC") for us in (event.start_us, event.end_us)
        )
        within |= (scores.index >= first) & (scores.index <= last)
    for start, stop in (plant.FAULT, plant.OPEN_FAULT):
        inside = scores.loc[plant.time_of(start) : plant.time_of(stop - 1)]
        assert inside["alarm"].any(), word
        assert within[scores.index.isin(inside.index)].mean() > 0.9, word
        fault |= scores.index.isin(inside.index)
    assert scores.loc[fault, "score"].median() > 5 * scores.loc[~fault, "score"].quantile(0.9)
    assert len(detector.events()) <= 6


def test_ends_of_an_export_are_no_events(made):
    """Without care, what lies beyond them looks like a state that never was: severity 10."""
    _, detector, scores, _ = made
    window = detector.fitted.scorer.window
    limit = detector.fitted.limit.value
    assert scores["score"].iloc[:window].max() < 1.5 * limit
    assert scores["score"].iloc[-window:].max() < 1.5 * limit


def test_evidence_of_its_own(made):
    word, _, scores, _ = made
    own = OF_ITS_OWN.get(word, [])
    assert [
        name for name in ("reconstruction_probability", "interval_miss") if name in scores
    ] == own


def test_the_same_after_loading(made):
    _, _, scores, folder = made
    pd.testing.assert_frame_equal(load(folder).score(plant.later()), scores, check_exact=True)


def test_way_through_a_stretch_is_told(made):
    word, detector, _, _ = made
    network = detector.network
    assert network.dense == (word not in WINDOWED)
    said = "windows of " if word in WINDOWED else "one pass over whole segments"
    assert network.applied.startswith(said)
    assert network.stride >= 1
    assert detector.fitted.scorer.layout.align % network.stride == 0


def test_features_of_its_bottleneck(made):
    _, detector, _, _ = made
    found = detector.features(plant.later())
    assert np.isfinite(found.to_numpy()).all()
    assert len(found) > 100
    assert found.shape[1] % 2 == 0


def test_halves_score_alike(made):
    """But for the rows that see the cut."""
    _, detector, scores, _ = made
    halo = detector.fitted.scorer.layout.halo
    rest = detector.score(plant.later().iloc[1000:]).iloc[halo:]
    pd.testing.assert_frame_equal(rest, scores.loc[rest.index], check_exact=True)


def test_run_record_says_how(site, monkeypatch):
    """From the command: train, score, report and bundle."""
    text = site.config_file.read_text().replace(
        "[training]", '[model]\nname = "linear"\noptions = { relu = true }\n\n[training]'
    )
    site.config_file.write_text(text)
    assert plant.command("train", site.config_file).code == 0
    ended = plant.command("score", site.config_file, site.later, "--json")
    assert ended.code == 0, ended.err
    report = json.loads(ended.out)["report"]
    record = json.loads((pd.io.common.Path(report).parent / "run.json").read_text())
    assert record["applied"] == "windows of 16 rows, one every 4 rows"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"options": {"relux": True}, "name": "linear"},
            "model.options: the network 'linear' has no option 'relux'; it has relu; did you mean "
            "'relu'?",
        ),
        (
            {"options": {"relu": True}},
            "model.options: the network 'conv' has no option 'relu'; it has none.",
        ),
        (
            {"layer": "encoder.7"},
            "model.layer is 'encoder.7', expected one of encoder, encoder.0, encoder.0.0, "
            "encoder.0.1, bottleneck, widen, widen.0, widen.1, decoder, output; did you mean "
            "'encoder.0'?",
        ),
    ],
)
def test_options_and_layers_that_do_not_exist(settings, sentence):
    with pytest.raises(UsageError) as caught:
        make_network(ModelSettings(**settings), 3, 16)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("layer", ["encoder.0", "encoder.1", "widen"])
def test_latents_of_another_layer(layer):
    settings = {
        "model": {"layer": layer}, "training": {"max_epochs": 2}, "prepare": {"window": 32}
    }  # fmt: skip
    detector = Detector(plant.merged(plant.SETTINGS, settings))
    detector.fit(plant.plant(0, plant.TRAIN_ROWS))
    scores = detector.score(plant.later())
    inside = scores.loc[plant.time_of(plant.FAULT[0]) : plant.time_of(plant.FAULT[1] - 1)]
    assert inside["alarm"].mean() > 0.9
    width = detector.network.width
    assert detector.fitted.scorer.detectors.standardiser.mean.shape == (2 * width,)


def test_layer_that_cannot_be_latents():
    class Flat(Network):
        def forward(self, values, mask):
            return values

    network = Flat(3, 16)
    with pytest.raises(UsageError) as caught:
        network.steps(torch.zeros(3, 4), 1)
    assert str(caught.value) == (
        "the layer 'bottleneck' gives a tensor of shape (3, 4), a tensor (samples, channels, "
        "steps) was expected of a hidden layer of this network; set model.layer to another layer."
    )
    with pytest.raises(UsageError) as caught:
        WindowNetwork(3, 16).vectors((torch.zeros(2), None))
    assert str(caught.value) == (
        "the layer 'bottleneck' gives a tuple, a tensor (windows, features, …) was expected of it; "
        "set model.layer to another layer."
    )


def test_seen_enough_by_hand():
    mask = torch.ones(1, 2, 12)
    mask[:, :, :5] = 0
    mask[:, 0] = 0  # one tag is enough
    # Steps of 4 rows see one row more on both sides: rows -1 to 4, 3 to 8, 7 to 12.
    assert LEAST_SEEN > 4 / 6
    assert LEAST_SEEN > 5 / 6
    assert seen_enough(mask, 1, 4, 1)[0, 0].tolist() == [0] * 12
    mask[:, 1] = 1
    assert seen_enough(mask, 0, 4, 0)[0, 0].tolist() == [1] * 12
    assert seen_enough(mask, 1, 4, 1)[0, 0].tolist() == [0] * 4 + [1] * 4 + [0] * 4
