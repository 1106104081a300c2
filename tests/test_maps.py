"""Maps of features: where points lie, what they are coloured by, what is refused."""

import numpy as np
import pandas as pd
import plant
import pytest
from PIL import Image

from sensor_ad.errors import DataError, UsageError
from sensor_ad.maps import draw_map, on_plane

TIMES = pd.date_range("2026-01-05", periods=60, freq="min", tz="UTC", name="time")


@pytest.fixture
def features(tmp_path):
    """Write features of two modes that lie far apart."""
    random = np.random.default_rng(0)
    mode = np.repeat([0.0, 1.0], 30)
    frame = pd.DataFrame(
        {"layer:0": random.normal(size=60) + 9 * mode, "layer:1": random.normal(size=60)},
        index=TIMES,
    )
    frame["tag:running"] = mode
    frame["tag:flow"] = random.normal(size=60)
    path = tmp_path / "features.parquet"
    frame.reset_index().to_parquet(path)
    return path


def test_plane_of_pca_is_that_of_the_widest_spread():
    t = np.linspace(-1, 1, 101)
    points, words = on_plane(np.stack([t, 2 * t, t**2], axis=1), "pca")
    # Standardised, the first two are equal: the main axis is their sum.
    np.testing.assert_allclose(np.abs(points[:, 0]), np.abs(t) / t.std() * np.sqrt(2), atol=1e-9)
    assert words == ("main axis (67 % of the variation)", "second axis (33 % of the variation)")


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_modes_lie_apart(features, method):
    frame = pd.read_parquet(features)
    points, _ = on_plane(frame[["layer:0", "layer:1"]].to_numpy(), method)
    one, other = points[:30], points[30:]
    apart = np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))
    if method == "pca":
        assert apart > 1.2
    else:
        middle = points.mean(axis=0)
        direction = other.mean(axis=0) - one.mean(axis=0)
        assert (((points - middle) @ direction > 0) == (np.arange(60) >= 30)).mean() > 0.9


def test_one_feature_has_a_plane_too():
    points, _ = on_plane(np.arange(10.0)[:, None], "pca")
    assert points.shape == (10, 2)
    assert (points[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("colour", "title"), [("time", "time"), ("tag:running", "running"), ("tag:flow", "flow")]
)
def test_map_is_a_picture(features, tmp_path, colour, title):
    out = tmp_path / "map.png"
    assert (
        draw_map(features, colour, "pca", out) == f"{out}: 60 of 60 rows, 2 features, by {title}."
    )
    with Image.open(out) as image:
        assert image.size[0] > 800
        assert len(image.convert("RGB").getcolors(1 << 20)) > 20


def test_map_by_event(features, tmp_path):
    events = tmp_path / "events.csv"
    events.write_text(
        "id,start_utc,end_utc\nE1,2026-01-05T00:10:00+00:00,2026-01-05T00:20:00+00:00\n"
    )
    out = tmp_path / "map.png"
    assert draw_map(features, str(events), "pca", out).endswith("by event.")


def refusal(kind, *arguments):
    with pytest.raises(kind) as caught:
        draw_map(*arguments)
    return str(caught.value)


def test_refused(features, tmp_path):
    out = tmp_path / "map.png"
    assert refusal(UsageError, features, "time", "umap", out) == (
        "method is 'umap', expected one of pca, tsne."
    )
    assert refusal(UsageError, features, "tag:mode", "pca", out) == (
        "the file has no readings of 'mode' (it has those of: running, flow); name it to "
        "sensor-ad features with --tag."
    )
    assert refusal(UsageError, features, "nowhere.csv", "pca", out) == (
        "nowhere.csv is neither 'time' nor 'tag:NAME' nor a file; name a run's events.csv."
    )
    assert refusal(UsageError, tmp_path / "no.parquet", "time", "pca", out) == (
        f"{tmp_path / 'no.parquet'} does not exist; sensor-ad features writes such a file."
    )
    text = tmp_path / "text.parquet"
    text.write_text("hello")
    assert refusal(DataError, text, "time", "pca", out) == (
        f"{text} is not a Parquet file (ArrowInvalid); take one that sensor-ad features wrote."
    )
    assert not out.exists()


def test_file_of_others_and_file_too_short(features, tmp_path):
    frame = pd.read_parquet(features)
    frame.drop(columns="time").to_parquet(tmp_path / "timeless.parquet")
    assert refusal(DataError, tmp_path / "timeless.parquet", "time", "pca", tmp_path / "m.png") == (
        f"{tmp_path / 'timeless.parquet'} has no column 'time' with a zone; take a file that "
        "sensor-ad features wrote."
    )
    frame.iloc[:3].to_parquet(tmp_path / "short.parquet")
    assert refusal(DataError, tmp_path / "short.parquet", "time", "pca", tmp_path / "m.png") == (
        f"{tmp_path / 'short.parquet'} has 3 rows with features, at least 5 were expected for a "
        "map; take a longer export."
    )


def test_command(features, tmp_path):
    out = tmp_path / "map.png"
    ended = plant.command("map", features, "--colour", "tag:running", "--out", out)
    assert ended.code == 0, ended.err
    assert ended.out == f"{out}: 60 of 60 rows, 2 features, by running.\n"
