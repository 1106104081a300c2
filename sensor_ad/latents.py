"""A model and an export come in; features of the model's hidden layers go out, as a Parquet file.

The readings go the way they go when they are scored: same grid, same scaling, same pass over
tiles. So a row of the file belongs to a time of the plant, and the default (the bottleneck, pooled
to mean and spread) is what the model's own detectors are given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import functional as F

from sensor_ad import __version__
from sensor_ad.bundle import Bundle, load_bundle
from sensor_ad.compare import compare_period, compare_tags
from sensor_ad.config import Config, load_config
from sensor_ad.dense import network_inputs, pool
from sensor_ad.devices import choose_device
from sensor_ad.durable import replacing
from sensor_ad.errors import DataError, UsageError
from sensor_ad.features import Layer, LayerOutputs, layers_of
from sensor_ad.features.names import chosen_layers, names_of
from sensor_ad.features.outputs import pick
from sensor_ad.features.pooling import axes, pooled
from sensor_ad.grid import Tile, tiles
from sensor_ad.prepare import Preparation, row_maker, to_json, with_phase
from sensor_ad.reading import Announce, AnyExport, announced, probed
from sensor_ad.records import Floats
from sensor_ad.store import open_workspace

POOLINGS = ("mean_spread", "mean", "max", "last", "none")
NOTHING_SEEN = (
    "no time of the export is observed well enough for features, at least one was expected; check "
    "it for missing values (sensor-ad inspect)."
)
METADATA = b"sensor_ad"
"""Key of the JSON in the Parquet file's own metadata."""


@dataclass(frozen=True)
class FeatureFile:
    """What was written."""

    path: Path
    rows: int
    layers: dict[str, int]
    """Layer -> numbers in a row."""
    notes: tuple[str, ...]


def open_model(path: Path) -> tuple[Bundle, Config]:
    """Load the model in service of a config, or the one in a folder; and the settings for exports.

    Raises
    ------
    UsageError
        There is neither.
    ModelError
        The model is damaged, or its network is not ours and no config names it.
    """
    if path.is_dir():
        device, _ = choose_device("auto", 0)
        bundle = load_bundle(path, device)
        return bundle, bundle.config
    if path.suffix != ".toml":
        raise UsageError(
            f"{path} is neither a config (.toml) nor a model's folder, one of them was expected; "
            "sensor-ad models list names the models of a config."
        )
    config = load_config(path)
    device, _ = choose_device(config.device, config.threads)
    workspace = open_workspace(config.path(config.workspace), config.asset)
    folder = workspace.model_folder(workspace.champion())
    return load_bundle(folder, device, config.model.name), config


def model_layers(bundle: Bundle) -> list[Layer]:
    """List the layers of a model's network, found by one dry pass over a window."""
    scorer = bundle.fitted.scorer
    network = scorer.network
    shape = (1, network.channels, network.sample_rows)
    example = torch.zeros(shape, device=scorer.device)
    return layers_of(network, example, torch.ones_like(example))


def write_features(
    bundle: Bundle,
    config: Config,
    export: AnyExport,
    out: Path,
    layers: Sequence[str] = (),
    pooling: str = "mean_spread",
    tags: Sequence[str] = (),
    announce: Announce = lambda what, done, total: None,
) -> FeatureFile:
    """Lead an export through a model and write what hidden layers put out, in bounded memory.

    Parameters
    ----------
    config
        How the export is read and how far it may differ from the model's.
    out
        Parquet file; whole or not there.
    layers
        Dotted names or patterns; the model's own bottleneck when empty.
    pooling
        Over a window around each step, weighted by what was observed: ``mean_spread``, ``mean``;
        ``max`` and ``last`` of the window; ``none`` gives each latent step as it is.
    tags
        Tags whose readings at the row's time are written beside the features, in plant units.

    Raises
    ------
    UsageError
        A layer, a pooling or a tag does not exist, or `out` is not named as a Parquet file.
    DataError
        No time of the export is observed well enough.
    ModelError
        The export does not fit the model.
    """
    if out.suffix.lower() != ".parquet":
        instead = out.parent / f"{out.stem or 'features'}.parquet"
        raise UsageError(
            f"the file of features is named {str(out)!r}, a name that ends in .parquet was "
            f"expected, as Parquet is what is written; set --out to {str(instead)!r} "
            "(pandas.read_parquet reads it)."
        )
    reader = _Reader(bundle, config, export, tuple(layers), pooling, tuple(tags))
    rows, writer = 0, None
    with replacing(out) as temporary:
        try:
            for table in reader.tables(announce):
                if writer is None:
                    writer = pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
        if not rows:
            raise DataError(NOTHING_SEEN)
    return FeatureFile(out, rows, reader.sizes, (*export.account().notes, *reader.notes))


def feature_frame(
    bundle: Bundle,
    config: Config,
    export: AnyExport,
    layers: Sequence[str] = (),
    pooling: str = "mean_spread",
    tags: Sequence[str] = (),
) -> pd.DataFrame:
    """Give what `write_features` writes as a frame in memory, indexed by plant time."""
    reader = _Reader(bundle, config, export, tuple(layers), pooling, tuple(tags))
    tables = list(reader.tables(lambda what, done, total: None))
    if not any(table.num_rows for table in tables):
        raise DataError(NOTHING_SEEN)
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas().set_index("time")
    return frame


class _Reader:
    """One reading: what its steps share."""

    def __init__(
        self,
        bundle: Bundle,
        config: Config,
        export: AnyExport,
        layers: tuple[str, ...],
        pooling: str,
        tags: tuple[str, ...],
    ) -> None:
        if pooling not in POOLINGS:
            raise UsageError(f"pool is {pooling!r}, expected one of {', '.join(POOLINGS)}.")
        self.bundle, self.config, self.export, self.pooling = bundle, config, export, pooling
        self.scorer = bundle.fitted.scorer
        network = self.network = self.scorer.network
        self.layers = tuple(chosen_layers(network, layers or network.bottleneck_name))
        names = self.scorer.preparation.names
        if unknown := [tag for tag in tags if tag not in names]:
            raise UsageError(f"the model has no tag {unknown[0]!r}; it has {', '.join(names)}.")
        self.tags = {tag: names.index(tag) for tag in tags}
        self.sizes: dict[str, int] = {}
        differences = compare_tags(export.tags, self.scorer.preparation, config)
        self.notes: tuple[str, ...] = differences.sentences
        self.grid = self.scorer.preparation.grid

    def tables(self, announce: Announce) -> Iterator[pa.Table]:
        """Yield the features of one tile after another."""
        times, chunks = probed(announced(self.export, announce, "reading"))
        preparation = self.scorer.preparation
        self.grid, other = compare_period(times, preparation, self.config, None)
        self.notes = (*self.notes, *other.sentences)
        rows = row_maker(with_phase(preparation, self.grid.phase_us)).rows(chunks)
        with LayerOutputs(self.network, self.layers, output=()) as outputs:
            for tile in tiles(rows, self.scorer.layout):
                yield self._table(tile, outputs)

    def _table(self, tile: Tile, outputs: LayerOutputs) -> pa.Table:
        scorer, rows = self.scorer, len(tile.values)
        x, mask = network_inputs(scorer.preparation, tile.values, scorer.layout, scorer.device)
        _, seen = outputs(x, mask)
        columns: dict[str, Any] = {}
        with torch.inference_mode():
            step = self._step(x.shape[2], seen)
            informed = self.network.informed(mask)
            shown = mask if informed is None else mask * informed
            for name in self.layers:
                steps = self._steps(name, seen[name], x.shape[2])
                found = self._pooled(steps, shown, step)[:, : rows // step]
                self.sizes[name] = len(found)
                columns |= self._columns(name, found.float().cpu().numpy())
            weight = _around(shown[..., :rows], scorer.window, step)
        middle = np.arange(step // 2, rows, step)
        core = (middle >= tile.core.start) & (middle < tile.core.stop)
        keep = core & (tile.index[middle] >= 0) & (weight >= scorer.min_observed)
        index = tile.index[middle[keep]]
        time = pa.array(self.grid.time_us(index), pa.timestamp("us", tz="UTC"))
        values = {f"tag:{tag}": tile.values[middle[keep], c] for tag, c in self.tags.items()}
        features = {name: column[keep] for name, column in columns.items()}
        table = pa.table(
            {"time": time.cast(pa.timestamp("us", tz=str(self.config.zone)))} | features | values
        )
        return table.replace_schema_metadata({METADATA: json.dumps(self._facts(step))})

    def _step(self, length: int, seen: dict[str, Any]) -> int:
        """Rows from one row of the file to the next: those of the finest layer, unless pooled."""
        if self.pooling != "none":
            return self.scorer.layout.align
        return min(length // self._steps(n, seen[n], length).shape[2] for n in self.layers)

    def _steps(self, name: str, outputs: Any, length: int) -> torch.Tensor:
        """(1, D, S) what a layer put out along the stretch; S divides its length."""
        network = self.network
        if name == network.bottleneck_name:
            return network.steps(outputs, 1)
        known = names_of(network)
        picked = pick(name, known[name], outputs, None)
        if network.dense:
            steps = picked.tensor
        else:
            axis = axes(name, known, picked, None)
            how: Any = "mean" if axis[1] is not None else "flatten"
            vectors = pooled(name, type(known[name]).__name__, picked, axis, how)
            steps = vectors.reshape(len(vectors), -1).T[None]
        if steps.ndim != 3 or length % max(steps.shape[2], 1):
            raise UsageError(
                f"the layer {name!r} gives {tuple(picked.tensor.shape)} for {length} rows, which "
                "cannot be laid along time; name another layer (--layers lists them)."
            )
        return steps

    def _pooled(self, steps: torch.Tensor, shown: torch.Tensor, step: int) -> torch.Tensor:
        """(D', J) features at steps of the file."""
        length = shown.shape[2]
        if self.pooling in ("mean_spread", "mean"):
            both = pool(steps, shown, self.scorer.window, step)[0]
            return both if self.pooling == "mean_spread" else both[: steps.shape[1]]
        stride = length // steps.shape[2]
        if self.pooling == "none":
            return steps[0].repeat_interleave(stride // step, dim=1)
        every, size = step // stride, max(self.scorer.window // stride, 1)
        extra = max(size - every, 0)
        if self.pooling == "max":
            padded = F.pad(steps, (extra // 2, extra - extra // 2), value=-torch.inf)
            return F.max_pool1d(padded, size, stride=every)[0]
        last = torch.arange(1, length // step + 1, device=steps.device) * every - 1
        return steps[0][:, (last + extra // 2).clamp(max=steps.shape[2] - 1)]

    def _columns(self, name: str, found: Floats) -> dict[str, Floats]:
        if self.pooling != "mean_spread":
            return {f"{name}:{k}": column for k, column in enumerate(found)}
        D = len(found) // 2
        return {
            f"{name}:{what}:{k}": found[k + first]
            for what, first in (("mean", 0), ("spread", D))
            for k in range(D)
        }

    def _facts(self, step: int) -> dict[str, Any]:
        return {
            "model": self.bundle.id,
            "program": __version__,
            "network": self.bundle.config.model.name,
            "layers": self.sizes,
            "pool": self.pooling,
            "window_rows": self.scorer.window,
            "step_rows": step,
            "period_s": self.grid.period_us / 1e6,
            "preparation_sha256": preparation_hash(self.scorer.preparation),
        }


def preparation_hash(preparation: Preparation) -> str:
    """SHA-256 of all that readings are prepared by: features with the same one can be compared."""
    table = to_json(preparation)
    table["grid"].pop("phase_us")
    digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode())
    for name in ("center", "scale"):
        digest.update(np.ascontiguousarray(getattr(preparation, name), np.float64).tobytes())
    return digest.hexdigest()


def _around(mask: torch.Tensor, window: int, step: int) -> Floats:
    """(J,) share of the cells in the window around each step that latents tell of."""
    extra = max(window - step, 0)
    padded = F.pad(mask.mean(dim=1, keepdim=True), (extra // 2, extra - extra // 2))
    weight: Floats = F.avg_pool1d(padded, max(window, step), stride=step)[0, 0].cpu().numpy()
    return weight
