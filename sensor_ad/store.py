"""The workspace: models by asset, the one in service, the context of the last scoring, the lock.

Folders below ``workspace/<asset>/``: ``models/<id>/`` bundles, ``champion.json`` the pointer,
``limits/<id>.json`` changed limits, ``training/`` checkpoints, ``context.npz`` the last rows that
were scored.
"""

from __future__ import annotations

import difflib
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from sensor_ad.durable import replacing, write_json
from sensor_ad.errors import LockedError, ModelError, ResourceError
from sensor_ad.records import Bools, Floats, Ints

SENSORS = "sensors/"
"""Begins the names of arrays of the context that hold what is known of the sensors."""
SLOW = "slow/"
"""The same of slots of slow change."""


@dataclass(frozen=True)
class Workspace:
    """What one asset keeps between commands."""

    folder: Path
    """``workspace/<asset>``."""

    @property
    def models(self) -> Path:
        """Folder of the bundles."""
        return self.folder / "models"

    @property
    def training(self) -> Path:
        """Folder of checkpoints."""
        return self.folder / "training"

    @property
    def limits(self) -> Path:
        """Folder of changed limits."""
        return self.folder / "limits"

    @property
    def _pointer(self) -> Path:
        return self.folder / "champion.json"

    @property
    def _context(self) -> Path:
        return self.folder / "context.npz"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other commands from changing the workspace meanwhile.

        Raises
        ------
        LockedError
            Another command holds it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"the workspace {self.folder} cannot be made ({error.strerror}); choose a folder "
                "that can be written (key 'workspace')."
            ) from None
        lock = filelock.FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise LockedError(
                f"another sensor-ad command is at work in {self.folder}; wait until it has ended."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def list_models(self) -> list[Path]:
        """Folders of all bundles, oldest first."""
        if not self.models.is_dir():
            return []
        return sorted(p for p in self.models.iterdir() if p.is_dir() and not p.name.startswith("."))

    def champion(self) -> str:
        """Id of the model in service.

        Raises
        ------
        ModelError
            There is none, or the pointer is damaged.
        """
        try:
            return str(json.loads(self._pointer.read_text(encoding="utf-8"))["model"])
        except FileNotFoundError:
            raise ModelError(
                f"no model is in service in {self.folder}; run 'sensor-ad train CONFIG' first."
            ) from None
        except (ValueError, KeyError, TypeError, OSError):
            raise ModelError(
                f"{self._pointer} is damaged; choose the model again: 'sensor-ad models use ID'."
            ) from None

    def use(self, model: str) -> None:
        """Put a model in service; one atomically replaced file says which."""
        self.model_folder(model)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self._pointer, {"model": model, "since": now})

    def model_folder(self, model: str) -> Path:
        """Folder of a model by its id.

        Raises
        ------
        ModelError
            There is no such model.
        """
        names = [path.name for path in self.list_models()]
        if model in names:
            return self.models / model
        near = difflib.get_close_matches(model, names, 1, 0.3)
        hint = f"did you mean {near[0]}?" if near else "see 'sensor-ad models list'."
        raise ModelError(f"there is no model {model!r} in {self.folder}; {hint}")

    def load_context(self, model: str) -> Context | None:
        """Rows that the last scoring by this model left; None when there are none that fit."""
        try:
            with self._context.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                facts: dict[str, Any] = json.loads(str(stored["facts"]))
                if facts.get("model") != model:
                    return None
                return Context(
                    model=model,
                    phase_us=int(facts["phase_us"]),
                    recent_events=facts["recent_events"],
                    index=stored["index"],
                    values=stored["values"],
                    used=stored["used"],
                    counters=stored["counters"],
                    sensors=_named(stored, SENSORS),
                    slow=_named(stored, SLOW),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # without it the export is scored by itself, which the report says

    def save_context(self, context: Context) -> None:
        """Leave the last rows of a scoring for the next one."""
        facts = {
            "model": context.model,
            "phase_us": context.phase_us,
            "recent_events": context.recent_events,
        }
        with replacing(self._context) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                facts=np.array(json.dumps(facts)),
                index=context.index,
                values=context.values,
                used=context.used,
                counters=context.counters,
                **{f"{SENSORS}{name}": array for name, array in context.sensors.items()},
                **{f"{SLOW}{name}": array for name, array in context.slow.items()},
            )


@dataclass(frozen=True)
class Context:
    """The end of one export, for the scoring of the next."""

    model: str
    phase_us: int
    index: Ints
    """(T,) grid rows."""
    values: Floats
    """(T, C) as the grid has them: plant units, counters as increases."""
    used: Bools
    """(T,)"""
    counters: Floats
    """(K,) readings of the counters in the last row."""
    recent_events: list[dict[str, Any]]
    """Id, first and last alarm row of events that may go on, or whose end will be scored again."""
    sensors: Mapping[str, Any] = field(default_factory=dict)
    """Arrays of `sensor_watch.WatchState`: what is known of the sensors; empty if nothing."""
    slow: Mapping[str, Any] = field(default_factory=dict)
    """Arrays of `slow_slots.SlowCount`: the last slots of slow change; empty if there are none."""


def _named(stored: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Give the arrays whose names begin so, under the rest of their names."""
    return {name.removeprefix(prefix): stored[name] for name in stored if name.startswith(prefix)}


def new_model_id(fingerprint: str) -> str:
    """Name a model after the time of its training and its data and settings."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S") + "-" + fingerprint[:6]


def open_workspace(root: Path, asset: str) -> Workspace:
    """Open the workspace of one asset; makes nothing."""
    return Workspace(root / asset)
