"""The Python door: frames come in, scores and events go out, by the stages of the commands."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sensor_ad.bundle import Bundle, load_bundle, save_bundle
from sensor_ad.config import Config, load_config, make_config
from sensor_ad.devices import choose_device
from sensor_ad.errors import UsageError
from sensor_ad.fitting import Fitted, fit
from sensor_ad.frames import FrameExport
from sensor_ad.latents import feature_frame
from sensor_ad.models import Network
from sensor_ad.reading import read_history, silent
from sensor_ad.records import Event
from sensor_ad.run import ScoringRun
from sensor_ad.run_folder import SCORES


class Detector:
    """Finds faults in frames of sensor data.

    Parameters
    ----------
    config
        A `Config`, the path of a TOML file, a dict of the same keys, or nothing for the defaults.

    Examples
    --------
    >>> detector = Detector({"data": {"timezone": "Europe/Berlin"}})  # doctest: +SKIP
    >>> scores = detector.fit(history).score(today)  # doctest: +SKIP
    >>> for event in detector.events():  # doctest: +SKIP
    ...     print(event.start_us, event.kind, event.tags[0].tag)
    """

    def __init__(self, config: Config | Mapping[str, Any] | str | Path | None = None) -> None:
        if isinstance(config, Config):
            self.config = config
        elif isinstance(config, str | Path):
            self.config = load_config(Path(config))
        else:
            self.config = make_config(dict(config or {}))
        self._bundle: Bundle | None = None
        self._events: tuple[Event, ...] | None = None
        self._facts: dict[str, Any] = {}

    @property
    def fitted(self) -> Fitted:
        """The fitted model.

        Raises
        ------
        UsageError
            `fit` was not called yet.
        """
        return self._ready().fitted

    def fit(self, frame: pd.DataFrame) -> Detector:
        """Train on normal history.

        Parameters
        ----------
        frame
            One column per tag in plant units, NaN where missing; times in a DatetimeIndex or a time
            column (naive ones are in the config's ``data.timezone``).
        """
        export = FrameExport(frame, self.config)
        history, _, notes = read_history(self.config, export, silent)
        device, fallback = choose_device(self.config.device, self.config.threads)
        fitted = fit(history, self.config, device)
        self._facts = {
            "device": str(device),
            "trained": pd.Timestamp.now("UTC").isoformat(timespec="seconds"),
            "messages": [*notes, *fitted.notes, *fallback],
            "data": {
                "first": str(
                    pd.Timestamp(int(history.grid.time_us(history.rows.index[0])), unit="us")
                ),
                "last": str(
                    pd.Timestamp(int(history.grid.time_us(history.rows.index[-1])), unit="us")
                ),
                "rows": len(history.rows.index),
                "used": int(history.rows.used.sum()),
                "sha256": {},
            },
        }
        self._bundle = Bundle("model", fitted, self.config, self._manifest())
        self._events = None
        return self

    def score(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Score a frame with the same tags.

        Returns
        -------
        One row per grid row, indexed by plant time: ``score`` and ``causal_score`` (higher is more
        abnormal, NaN where not scorable), one column per evidence, ``alarm``, ``scorable``.
        """
        bundle = self._ready()
        run = ScoringRun(self.config, bundle, FrameExport(frame, self.config), None)
        with tempfile.TemporaryDirectory(prefix="sensor_ad-") as folder:
            result = run.run(Path(folder), silent)
            scores = pd.read_parquet(Path(folder) / SCORES)
        self._events = result.events
        return scores.set_index("time")

    def features(
        self,
        frame: pd.DataFrame,
        layers: str | Sequence[str] = (),
        pool: str = "mean_spread",
        tags: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Give features of the network's hidden layers, the frame prepared as in training.

        Parameters
        ----------
        frame
            As for `score`.
        layers
            Dotted names or patterns (``sensor_ad.features.layers_of(detector.network)`` lists
            them); the bottleneck when empty.
        pool
            Over a window around each step: mean_spread, mean, max, last; or none.
        tags
            Tags whose readings stand beside, in columns ``tag:NAME``.

        Returns
        -------
        One row every few grid rows, indexed by plant time; one column a feature.
        """
        bundle = self._ready()
        names = [layers] if isinstance(layers, str) else layers
        export = FrameExport(frame, self.config)
        return feature_frame(bundle, self.config, export, names, pool, tags)

    @property
    def network(self) -> Network:
        """The fitted network."""
        return self._ready().fitted.scorer.network

    def events(self) -> tuple[Event, ...]:
        """Give the events of the last `score`, in time order."""
        if self._events is None:
            raise UsageError("nothing was scored yet; call score(frame) before events().")
        return self._events

    def save(self, folder: str | Path) -> None:
        """Write the model as a bundle into a folder that does not exist yet."""
        bundle = self._ready()
        save_bundle(Path(folder), bundle.fitted, self.config, self._facts)

    def _ready(self) -> Bundle:
        if self._bundle is None:
            raise UsageError("the detector is not fitted; call fit(frame), or load a saved model.")
        return self._bundle

    def _manifest(self) -> dict[str, Any]:
        return {**self._facts, "libraries": {}}


def load(folder: str | Path, network: str | None = None) -> Detector:
    """Read a saved model; checked whole before it is used.

    Parameters
    ----------
    network
        ``package.module:Class``, when the model was made with a network of your own: its code is
        imported only if you name it.

    Raises
    ------
    ModelError
        The bundle is damaged or holds something that is not allowed.
    """
    bundle = load_bundle(Path(folder), own_network=network)
    detector = Detector(bundle.config)
    device, _ = choose_device(bundle.config.device, bundle.config.threads)
    bundle.fitted.scorer.network.to(device)
    detector._bundle = bundle
    detector._facts = {
        key: bundle.manifest[key] for key in ("device", "trained", "messages", "data")
    }
    return detector
