"""Features of hidden layers from exports: the values, their times, what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import plant
import pyarrow.parquet as pq
import pytest
import torch
from plant import score_export

from sensor_ad.dense import network_inputs
from sensor_ad.detector import load
from sensor_ad.errors import DataError, ModelError, UsageError
from sensor_ad.exports import open_export
from sensor_ad.grid import tiles
from sensor_ad.latents import METADATA, model_layers, open_model, preparation_hash, write_features
from sensor_ad.prepare import row_maker
from sensor_ad.reading import read_settings
from sensor_ad.scoring import LatentDetectors


def write(shared, bundle, path, out, **more):
    settings = read_settings(shared.config)
    return write_features(bundle, shared.config, open_export([path], settings), out, **more)


def read(path):
    return pq.read_table(path).to_pandas()


@pytest.fixture(scope="module")
def written(shared, bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("features") / "features.parquet"
    told = write(shared, bundle, shared.later, out, tags=["flow"])
    return told, out


def whole_outputs(shared, bundle, layer):
    """Give what a layer puts out for the export in one pass by hand, and the tile that it saw."""
    scorer = bundle.fitted.scorer
    export = open_export([shared.later], read_settings(shared.config))
    (tile,) = tiles(row_maker(scorer.preparation).rows(export.chunks()), scorer.layout)
    x, mask = network_inputs(scorer.preparation, tile.values, scorer.layout, scorer.device)
    seen = []
    handle = scorer.network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    with torch.inference_mode():
        scorer.network(x, mask)
    handle.remove()
    return seen[0][0].numpy(), tile


def test_bottleneck_features_are_what_the_detectors_are_given(shared, bundle, written, monkeypatch):
    told, out = written
    given, real = [], LatentDetectors.score

    def score(self, latents, level, seen):
        given.append(latents)
        return real(self, latents, level, seen)

    monkeypatch.setattr(LatentDetectors, "score", score)
    score_export(shared.config, bundle, [shared.later])
    frame = read(out)
    columns = [name for name in frame if name.startswith("bottleneck:")]
    D = bundle.fitted.scorer.network.latent
    assert told.layers == {"bottleneck": 2 * D}
    assert columns == [f"bottleneck:{what}:{k}" for what in ("mean", "spread") for k in range(D)]

    found = frame[columns].to_numpy()
    _, tile = whole_outputs(shared, bundle, "bottleneck")
    first = int(np.flatnonzero(tile.index >= 0)[0]) // bundle.fitted.scorer.layout.align
    np.testing.assert_allclose(found, given[0][first : first + len(found)], rtol=1e-6)


def test_times_and_tags_are_those_of_the_export(shared, bundle, written):
    told, out = written
    frame = read(out).set_index("time")
    align = bundle.fitted.scorer.layout.align
    assert told.rows == len(frame) == plant.SCORE_ROWS // align
    assert str(frame.index.tz) == "UTC"
    assert (frame.index[1:] - frame.index[:-1] == pd.Timedelta(minutes=align)).all()
    flow = plant.later()["flow"].tz_localize("UTC")
    pd.testing.assert_series_equal(
        frame["tag:flow"], flow.loc[frame.index], check_names=False, check_freq=False
    )


def test_file_says_where_it_is_from(bundle, written):
    _, out = written
    facts = json.loads(pq.read_schema(out).metadata[METADATA])
    assert facts["model"] == bundle.id
    assert facts["pool"] == "mean_spread"
    assert facts["layers"] == {"bottleneck": 2 * bundle.fitted.scorer.network.latent}
    assert facts["preparation_sha256"] == preparation_hash(bundle.fitted.scorer.preparation)
    assert facts["step_rows"] == bundle.fitted.scorer.layout.align


@pytest.mark.parametrize("layer", ["encoder.0", "bottleneck"])
def test_latent_steps_as_they_are(shared, bundle, tmp_path, layer):
    write(shared, bundle, shared.later, tmp_path / "x.parquet", layers=[layer], pooling="none")
    frame = read(tmp_path / "x.parquet").set_index("time")
    outputs, tile = whole_outputs(shared, bundle, layer)
    step = tile.values.shape[0] // (outputs.shape[1] * tile.values.shape[0] // _length(bundle))
    scorer = bundle.fitted.scorer
    for time in frame.index[[0, 500, -1]]:
        row = int(scorer.preparation.grid.row(np.array([time.value // 1000]))[0])
        place = int(np.flatnonzero(tile.index == row)[0])
        np.testing.assert_allclose(frame.loc[time], outputs[:, place // step], rtol=1e-6)


def test_coarser_layers_are_repeated_beside_finer_ones(shared, bundle, tmp_path):
    layers = ["encoder.0", "bottleneck"]
    for chosen, name in ((layers, "both"), (layers[:1], "fine"), (layers[1:], "coarse")):
        out = tmp_path / f"{name}.parquet"
        write(shared, bundle, shared.later, out, layers=chosen, pooling="none")
    both, fine, coarse = (
        read(tmp_path / f"{name}.parquet").set_index("time") for name in ("both", "fine", "coarse")
    )
    assert both.index.equals(fine.index)
    pd.testing.assert_frame_equal(both[fine.columns], fine)
    # A coarse step stands in the middle of its rows.
    at = both.index.get_indexer(coarse.index, method="nearest")
    pd.testing.assert_frame_equal(
        both[coarse.columns].iloc[at].set_index(coarse.index), coarse, check_freq=False
    )


def _length(bundle):
    layout = bundle.fitted.scorer.layout
    return layout.tile + 2 * layout.halo


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_pooled_over_the_window_around(shared, bundle, tmp_path, pooling):
    write(shared, bundle, shared.later, tmp_path / "x.parquet", pooling=pooling)
    frame = read(tmp_path / "x.parquet").set_index("time")
    outputs, tile = whole_outputs(shared, bundle, "bottleneck")
    scorer = bundle.fitted.scorer
    stride, align, size = scorer.network.stride, scorer.layout.align, scorer.window
    every, extra = align // stride, (size - align) // stride
    for time in frame.index[[3, 100]]:
        row = int(scorer.preparation.grid.row(np.array([time.value // 1000]))[0])
        j = int(np.flatnonzero(tile.index == row)[0]) // align
        window = outputs[:, j * every - extra // 2 : j * every - extra // 2 + size // stride]
        expected = {"mean": window.mean(axis=1), "max": window.max(axis=1), "last": window[:, -1]}
        np.testing.assert_allclose(frame.loc[time], expected[pooling], rtol=1e-5, atol=1e-6)


def test_patterns_give_several_layers(shared, bundle, tmp_path):
    told = write(shared, bundle, shared.later, tmp_path / "x.parquet", layers=["encoder.?"])
    depth, width = bundle.fitted.scorer.network.depth, bundle.fitted.scorer.network.width
    assert told.layers == {f"encoder.{k}": 2 * width for k in range(depth)}


def test_file_split_changes_nothing(shared, bundle, written, tmp_path):
    frame = plant.later()
    plant.write_csv(frame.iloc[:1111], tmp_path / "a.csv")
    plant.write_csv(frame.iloc[1111:], tmp_path / "b.csv")
    write(shared, bundle, tmp_path, tmp_path / "x.parquet", tags=["flow"])
    pd.testing.assert_frame_equal(read(tmp_path / "x.parquet"), read(written[1]))


def test_features_from_python_are_those_of_the_file(shared, bundle, written):
    frame = plant.later()
    detector = load(shared.bundle)
    found = detector.features(frame, tags=["flow"])
    assert found.index.name == "time"
    expected = read(written[1]).set_index("time")
    pd.testing.assert_frame_equal(found, expected, check_freq=False, check_index_type=False)


def test_layers_are_listed(bundle):
    found = {layer.name: layer for layer in model_layers(bundle)}
    network = bundle.fitted.scorer.network
    assert found["bottleneck"].shape == (1, network.latent, network.sample_rows // network.stride)
    assert found["bottleneck"].calls == 1


def refusal(kind, *arguments, **more):
    with pytest.raises(kind) as caught:
        write(*arguments, **more)
    return str(caught.value)


def test_what_does_not_exist_is_refused(shared, bundle, tmp_path):
    given = (shared, bundle, shared.later, tmp_path / "x.parquet")
    assert refusal(UsageError, *given, pooling="median") == (
        "pool is 'median', expected one of mean_spread, mean, max, last, none."
    )
    assert refusal(UsageError, *given, tags=["fluw"]) == (
        "the model has no tag 'fluw'; it has flow, pressure, temperature, energy."
    )
    assert "'bottelneck'" in refusal(UsageError, *given, layers=["bottelneck"])
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.parametrize(
    ("name", "instead"),
    [("x.csv", "x.parquet"), ("x.npy", "x.parquet"), ("march", "march.parquet"),
     ("a.parquet.gz", "a.parquet.parquet")],
)  # fmt: skip
def test_file_that_is_not_named_as_parquet_is_refused(site, tmp_path, name, instead):
    out, right = tmp_path / name, tmp_path / instead
    ended = plant.command("features", site.config_file, site.later, "--out", out)
    assert ended.code == 2
    assert ended.err == (
        f"sensor-ad: the file of features is named {str(out)!r}, a name that ends in .parquet was "
        f"expected, as Parquet is what is written; set --out to {str(right)!r} "
        "(pandas.read_parquet reads it).\n"
    )
    assert not out.exists()
    assert not right.exists()


def test_folder_in_place_of_a_file_is_refused(shared, bundle):
    assert refusal(UsageError, shared, bundle, shared.later, Path()) == (
        "the file of features is named '.', a name that ends in .parquet was expected, as Parquet "
        "is what is written; set --out to 'features.parquet' (pandas.read_parquet reads it)."
    )


def test_capital_letters_name_parquet_too(shared, bundle, written, tmp_path):
    write(shared, bundle, shared.later, tmp_path / "X.PARQUET", tags=["flow"])
    pd.testing.assert_frame_equal(read(tmp_path / "X.PARQUET"), read(written[1]))


def test_export_without_a_usable_row_is_refused(shared, bundle, tmp_path):
    frame = plant.later().iloc[:300].copy()
    frame.iloc[5:] = np.nan
    path = plant.write_csv(frame, tmp_path / "empty.csv")
    assert refusal(DataError, shared, bundle, path, tmp_path / "x.parquet") == (
        "no time of the export is observed well enough for features, at least one was expected; "
        "check it for missing values (sensor-ad inspect)."
    )
    assert not (tmp_path / "x.parquet").exists()


def test_export_of_another_machine_is_refused(shared, bundle, tmp_path):
    path = plant.write_csv(plant.later()[["flow"]], tmp_path / "other.csv")
    with pytest.raises(ModelError):
        write(shared, bundle, path, tmp_path / "x.parquet")


def test_command(site, tmp_path):
    out = tmp_path / "x.parquet"
    ended = plant.command(
        "features", site.config_file, site.later, "--layer", "encoder.0", "--pool", "mean",
        "--tag", "flow", "--out", out, "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["file"] == str(out)
    assert list(told["layers"]) == ["encoder.0"]
    assert len(read(out)) == told["rows"]

    listed = plant.command("features", site.bundle, "--layers")
    assert listed.code == 0, listed.err
    assert "bottleneck" in listed.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["{config}"],
            "no export was named, at least one was expected; put it behind the model.",
        ),
        (
            ["nowhere.txt", "x.csv"],
            "nowhere.txt is neither a config (.toml) nor a model's folder, one of them was "
            "expected; sensor-ad models list names the models of a config.",
        ),
    ],
)
def test_command_refuses(site, arguments, sentence):
    given = [str(argument).format(config=site.config_file) for argument in arguments]
    ended = plant.command("features", *given)
    assert ended.code == 2
    assert ended.err == f"sensor-ad: {sentence}\n"


def test_model_by_its_folder_is_the_one_in_service(site, bundle):
    by_folder, _ = open_model(site.bundle)
    by_config, config = open_model(site.config_file)
    assert by_folder.id == by_config.id
    assert config.asset == "plant"
