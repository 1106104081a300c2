"""Features of an export come in; a map of them on a plane goes out, as a picture.

Two ways onto the plane: PCA (the two directions along which the features vary most; distances
mean something) and t-SNE (neighbours stay neighbours; distances between groups mean little).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sensor_ad.durable import replacing
from sensor_ad.errors import DataError, UsageError
from sensor_ad.records import Floats, Ints

METHODS = ("pca", "tsne")
MOST_POINTS = 3_000
"""Rows on the map, spread evenly over time: t-SNE's cost grows faster than their number."""
FEWEST_POINTS = 5
PERPLEXITY = 30.0
"""Neighbours that t-SNE minds (van der Maaten and Hinton, JMLR 9, 2008)."""
FEW_VALUES = 8
"""A tag with at most so many values is drawn with one colour for each."""


def draw_map(features: Path, colour: str, method: str, out: Path) -> str:
    """Draw a map of features and return a sentence on what it shows.

    Parameters
    ----------
    features
        Parquet file as `sensor-ad features` writes it.
    colour
        ``time``, ``tag:NAME`` (a tag that was written beside the features), or the path of a
        run's ``events.csv``.
    method
        ``pca`` or ``tsne``.
    out
        PNG file.

    Raises
    ------
    UsageError
        The method, the tag or a file does not exist.
    DataError
        A file is not what it was expected to be, or has too few rows.
    """
    from sensor_ad.model_plots import map_png

    if method not in METHODS:
        raise UsageError(f"method is {method!r}, expected one of {', '.join(METHODS)}.")
    table = _table(features)
    zone = ZoneInfo(str(table.schema.field("time").type.tz))
    time_us = np.asarray(table["time"].cast(pa.int64()))
    names = [name for name in table.column_names if name != "time" and not name.startswith("tag:")]
    rows = np.stack([np.asarray(table[name], dtype=np.float64) for name in names], axis=1)
    chosen = np.unique(np.linspace(0, len(rows) - 1, MOST_POINTS).round().astype(np.int64))
    chosen = chosen[np.isfinite(rows[chosen]).all(axis=1)]
    if len(chosen) < FEWEST_POINTS:
        raise DataError(
            f"{features} has {len(chosen)} rows with features, at least {FEWEST_POINTS} were "
            "expected for a map; take a longer export."
        )
    points, axes = on_plane(rows[chosen], method)
    groups, title = _groups(table, time_us, colour, chosen)
    with replacing(out) as temporary:
        temporary.write_bytes(map_png(points, axes, groups, title, zone))
    return f"{out}: {len(chosen)} of {len(rows)} rows, {len(names)} features, by {title}."


def on_plane(features: Floats, method: str) -> tuple[Floats, tuple[str, str]]:
    """Lay (N, D) features on a plane, each feature standardised before.

    Returns
    -------
    (N, 2) points, and what the two axes are, in words.
    """
    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(PERPLEXITY, (len(scaled) - 1) / 3)
        made = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(
            _reduced(scaled, 50)
        )
        return np.asarray(made, dtype=np.float64), ("t-SNE, first axis", "t-SNE, second axis")
    plane, share = _reduced(scaled, 2), _shares(scaled)
    words = tuple(
        f"{name} axis ({100 * part:.0f} % of the variation)"
        for name, part in zip(("main", "second"), share, strict=True)
    )
    return plane, (words[0], words[1])


def _reduced(scaled: Floats, most: int) -> Floats:
    """(N, min(D, most)) principal components; their signs are fixed, so that maps look alike."""
    _, _, directions = np.linalg.svd(scaled, full_matrices=False)
    found = directions[:most].T
    found = found * np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    reduced: Floats = scaled @ found
    if most == 2 and reduced.shape[1] < 2:
        reduced = np.pad(reduced, ((0, 0), (0, 1)))
    return reduced


def _shares(scaled: Floats) -> Floats:
    strength = np.linalg.svd(scaled, compute_uv=False) ** 2
    return np.pad(strength / max(strength.sum(), 1e-300), (0, 2))[:2]


def _table(features: Path) -> Any:
    try:
        table = pq.read_table(features)
    except FileNotFoundError:
        raise UsageError(
            f"{features} does not exist; sensor-ad features writes such a file."
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{features} is not a Parquet file ({type(error).__name__}); take one that sensor-ad "
            "features wrote."
        ) from error
    kind = table.schema.field("time").type if "time" in table.column_names else None
    if kind is None or not pa.types.is_timestamp(kind) or kind.tz is None:
        raise DataError(
            f"{features} has no column 'time' with a zone; take a file that sensor-ad features "
            "wrote."
        )
    return table


def _groups(table: Any, time_us: Ints, colour: str, chosen: Ints) -> tuple[Any, str]:
    """(N,) what each point is coloured by: numbers, or texts for groups; and its name."""
    if colour == "time":
        return time_us[chosen], "time"
    if colour.startswith("tag:"):
        tags = [name for name in table.column_names if name.startswith("tag:")]
        if colour not in tags:
            known = ", ".join(name[4:] for name in tags) or "none"
            raise UsageError(
                f"the file has no readings of {colour[4:]!r} (it has those of: {known}); name it "
                "to sensor-ad features with --tag."
            )
        return _by_value(np.asarray(table[colour], dtype=np.float64)[chosen]), colour[4:]
    return _by_event(Path(colour), time_us[chosen]), "event"


def _by_value(values: Floats) -> Any:
    """Few values are groups, many are a scale."""
    good = np.unique(values[np.isfinite(values)])
    if len(good) > FEW_VALUES:
        return values
    return np.array([f"{value:g}" if np.isfinite(value) else "missing" for value in values])


def _by_event(path: Path, time_us: Ints) -> Sequence[str]:
    try:
        events = pd.read_csv(path)
        starts, ends = (
            pd.to_datetime(events[name], utc=True).astype("datetime64[us, UTC]").astype(np.int64)
            for name in ("start_utc", "end_utc")
        )
    except FileNotFoundError:
        raise UsageError(
            f"{path} is neither 'time' nor 'tag:NAME' nor a file; name a run's events.csv."
        ) from None
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is not a run's events.csv ({error}); name one.") from error
    groups = np.full(len(time_us), "no event", dtype=object)
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1):
        groups[(time_us >= start) & (time_us <= end)] = f"E{number}"
    return list(groups)
