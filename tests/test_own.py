"""Networks of the user's own, by their import path: made, refused, trained, saved and loaded."""

import numpy as np
import pandas as pd
import plant
import pytest
import torch

from sensor_ad.config import ModelSettings
from sensor_ad.detector import Detector, load
from sensor_ad.errors import ModelError, UsageError
from sensor_ad.models import make_network
from sensor_ad.models.own import OwnNetwork

C, L = 3, 16


def network_of(name, channels=C, **settings):
    torch.manual_seed(0)
    return make_network(ModelSettings(name=f"own_networks:{name}", **settings), channels, L)


def refusal(name, **settings):
    with pytest.raises(UsageError) as caught:
        network_of(name, **settings)
    return str(caught.value)


def test_plain_module_is_led_over_windows():
    network = network_of("Plain", options={"size": 5})
    assert isinstance(network, OwnNetwork)
    assert network.bottleneck_name == "module.encoder"
    assert network.applied == "windows of 16 rows, one every 4 rows"
    values = torch.randn(1, C, 10 * L)
    mask = (torch.rand_like(values) > 0.1).float()

    with torch.inference_mode():
        output = network(values, mask).expected
        shown = torch.nn.functional.pad(values * mask, (6, 6))
        # The window whose core (rows 6 to 9 of its 16) holds row 41 begins at row 34.
        one = network.module(shown[..., 6 + 34 : 6 + 34 + L])
    torch.testing.assert_close(output[..., 40:44], one[..., 6:10])
    assert network.module.encoder[1].out_features == 5


def test_module_with_a_mask_and_more_than_one_result():
    network = network_of("Masked", layer="squeeze")
    values, mask = torch.randn(2, C, L), torch.ones(2, C, L)
    with torch.inference_mode():
        torch.testing.assert_close(network(values, mask), network.module(values, mask)[0])
        assert network.vectors(network.module(values, mask)[1]).shape == (2, 2)


def test_network_by_our_contract_is_taken_as_it_is():
    network = network_of("Dense", latent=1)
    assert (network.applied, network.bottleneck_name) == ("one pass over whole segments", "squeeze")
    assert network.squeeze.out_channels == 1


def test_hidden_cells_are_no_numbers():
    network = network_of("Plain")
    values, mask = torch.randn(1, C, L), torch.ones(1, C, L)
    mask[:, 1, 3:7] = 0
    garbage = torch.where(mask > 0, values, torch.nan_to_num(values) + 1e6)
    assert torch.equal(network(values, mask), network(garbage, mask))


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        (
            "Missing",
            {},
            "model.name: the module own_networks has no class 'Missing'; correct the name.",
        ),
        (
            "Plain",
            {"options": {"sizes": 4}},
            "model.options: the network own_networks:Plain has no option 'sizes'; its constructor "
            "takes channels, window, size.",
        ),
        (
            "Plain",
            {"layer": "encode.1"},
            "the network own_networks:Plain has no layer 'encode.1'; set model.layer to the one "
            "whose outputs are the latents: encoder, encoder.0, encoder.1, decoder.",
        ),
        (
            "NoLayer",
            {},
            "the network own_networks:NoLayer has none called bottleneck or encoder; set "
            "model.layer to the one whose outputs are the latents: only.",
        ),
        (
            "not_a_network",
            {},
            "model.name: own_networks:not_a_network gives int, a torch.nn.Module was expected.",
        ),
    ],
)
def test_refused(name, settings, sentence):
    assert refusal(name, **settings) == sentence


def test_module_that_cannot_be_imported():
    with pytest.raises(UsageError) as caught:
        make_network(ModelSettings(name="no.such.place:Thing"), C, L)
    assert str(caught.value) == (
        "model.name: no.such.place cannot be imported (No module named 'no'); install it, or set "
        "PYTHONPATH to the folder that holds it."
    )


def test_result_of_another_shape_is_refused():
    network = network_of("WrongShape")
    with pytest.raises(UsageError) as caught:
        network(torch.zeros(2, C, L), torch.ones(2, C, L))
    assert str(caught.value) == (
        "the network own_networks:WrongShape gave (2, 3), a reconstruction of the shape (2, 3, 16) "
        "was expected: (windows, tags, rows) as it was given."
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Give a detector with a user's network, where it was saved, and what it was asked to score."""
    model = {"name": "own_networks:Plain", "options": {"size": 4}}
    detector = Detector(plant.merged(plant.SETTINGS, {"model": model}))
    detector.fit(plant.plant(0, plant.TRAIN_ROWS))
    folder = tmp_path_factory.mktemp("own") / "model"
    detector.save(folder)
    return detector, folder, plant.later()


def test_own_network_finds_the_faults(fitted):
    detector, _, frame = fitted
    scores = detector.score(frame)
    for start, stop in (plant.FAULT, plant.OPEN_FAULT):
        inside = scores.loc[plant.time_of(start) : plant.time_of(stop - 1)]
        assert inside["alarm"].mean() > 0.8
    assert scores["alarm"].mean() < 0.3


def test_own_network_survives_saving(fitted):
    detector, folder, frame = fitted
    again = load(folder, network="own_networks:Plain").score(frame)
    pd.testing.assert_frame_equal(again, detector.score(frame), check_exact=True)
    assert np.isfinite(again.loc[again["scorable"], "score"]).all()


def test_code_is_not_run_because_a_bundle_names_it(fitted):
    _, folder, _ = fitted
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{folder} was made with the network own_networks:Plain, which is not part of sensor_ad: "
        "its code is run only when you name it; set model.name to it in your config (from Python: "
        "load(folder, network='own_networks:Plain'))."
    )
