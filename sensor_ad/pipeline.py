"""The order of the stages: whoever reads `train` and `score` knows the program."""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sensor_ad.bundle import load_bundle, save_bundle
from sensor_ad.config import Config
from sensor_ad.devices import choose_device
from sensor_ad.durable import replacing_folder, write_json
from sensor_ad.exports import open_export
from sensor_ad.fitting import Fitted, fit
from sensor_ad.grid import Grid, Rows
from sensor_ad.hashing import FileHashes
from sensor_ad.limit_change import changed_limit, in_force, read_changes
from sensor_ad.reading import (
    Announce,
    read_history,
    read_settings,
    silent,
    training_exports,
    workspace_imports,
)
from sensor_ad.records import Event, RowAccount, TagQuality
from sensor_ad.report import write_report
from sensor_ad.run import ScoringRun
from sensor_ad.store import new_model_id, open_workspace


@dataclass(frozen=True)
class TrainResult:
    """What a training gave."""

    model: str
    folder: Path
    fitted: Fitted
    learnt: int
    """Grid rows that were learnt from, calibrated on or left between parts."""
    account: RowAccount
    quality: tuple[TagQuality, ...]
    notes: tuple[str, ...]
    seconds: dict[str, float]


@dataclass(frozen=True)
class ScoreResult:
    """What a scoring gave."""

    run: str
    folder: Path
    model: str
    events: tuple[Event, ...]
    rows: int
    scorable: int
    account: RowAccount
    quality: tuple[TagQuality, ...]
    notes: tuple[str, ...]
    limit: float
    statement: str
    seconds: dict[str, float]


def train(config: Config, exports: Sequence[Path] = (), announce: Announce = silent) -> TrainResult:
    """Train on exports and put the model in service; writes below the workspace.

    Parameters
    ----------
    exports
        Files and folders; the config's ``data.train`` when empty.
    """
    workspace = open_workspace(config.path(config.workspace), config.asset)
    with workspace.lock():
        clock = Clock()
        export = open_export(
            training_exports(config, exports),
            read_settings(config),
            workspace_imports(config),
            lambda done, total: announce("importing", done, total),
        )
        hashes = FileHashes(export.files)
        history, maker, remarks = read_history(config, export, announce)
        clock.lap("reading")
        device, fallback = choose_device(config.device, config.threads)
        fingerprint = _fingerprint(config, history.rows)
        checkpoints = workspace.training / fingerprint[:16]
        fitted = fit(history, config, device, checkpoints, announce)
        clock.lap("training")
        account, quality = (
            export.account(),
            tuple(maker.quality.findings(history.kinds, zone=config.zone)),
        )
        notes = (*account.notes, *remarks, *fitted.notes, *fallback)
        facts = {
            "trained": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": str(device),
            "data": _span(history.rows, history.grid) | {"sha256": hashes.result()},
            "quality": [_finite(vars(one)) for one in quality],
            "messages": list(notes),
            "states": {tag: list(states) for tag, states in export.states.items()},
            "seconds": clock.seconds,
        }
        model = _free_name(workspace.models, new_model_id(fingerprint))
        save_bundle(workspace.models / model, fitted, config, facts, model)
        workspace.use(model)
        shutil.rmtree(checkpoints, ignore_errors=True)
        clock.lap("saving")
    folder = workspace.models / model
    learnt = int(history.rows.used.sum())
    return TrainResult(model, folder, fitted, learnt, account, quality, notes, clock.seconds)


def score(
    config: Config,
    exports: Sequence[Path],
    announce: Announce = silent,
    model: str | None = None,
    use_context: bool = True,
) -> ScoreResult:
    """Score exports with the model in service; writes a run folder below ``reports/<asset>/``.

    Parameters
    ----------
    exports
        Files and folders, together one stretch of time.
    model
        Id of another model than the one in service.
    use_context
        Go on from the rows that the last scoring left.
    """
    workspace = open_workspace(config.path(config.workspace), config.asset)
    with workspace.lock():
        clock = Clock()
        name = model or workspace.champion()
        device, fallback = choose_device(config.device, config.threads)
        bundle = load_bundle(workspace.model_folder(name), device, config.model.name)
        change = in_force(read_changes(workspace, name))
        fitted = replace(bundle.fitted, limit=changed_limit(bundle.fitted.limit, change))
        bundle = replace(bundle, fitted=fitted)
        clock.lap("loading")
        export = open_export(
            exports,
            read_settings(config, bundle.states),
            workspace_imports(config),
            lambda done, total: announce("importing", done, total),
        )
        before = workspace.load_context(name) if use_context else None
        scoring = ScoringRun(config, bundle, export, before, change)
        reports = config.path(config.reports) / config.asset
        run = _free_name(reports, datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
        with replacing_folder(reports / run) as folder:
            result = scoring.run(folder, announce)
            clock.lap("reading and scoring")
            report = scoring.report(run, result, clock.seconds)
            write_report(report, folder, lambda done, total: announce("report", done, total))
            clock.lap("report")
            write_json(folder / "run.json", scoring.record(run, result, clock.seconds))
        if use_context:
            workspace.save_context(scoring.context(result))
    return ScoreResult(
        run=run,
        folder=reports / run,
        model=name,
        events=result.events,
        rows=result.coverage.rows,
        scorable=result.coverage.scorable,
        account=report.account,
        quality=report.quality,
        notes=(*scoring.notes, *fallback),
        limit=report.limit,
        statement=report.limit_statement,
        seconds=clock.seconds,
    )


@dataclass
class Clock:
    """Seconds that each stage took."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.monotonic)

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.monotonic()
        self.seconds[stage] = now - self._last
        self._last = now


def _free_name(folder: Path, name: str) -> str:
    """Give a name after the time a number when it is taken: two runs may begin within a second."""
    number, free = 2, name
    while (folder / free).exists():
        free = f"{name}-{number}"
        number += 1
    return free


def _fingerprint(config: Config, rows: Rows) -> str:
    """Hash of everything that the weights follow from: an interrupted training is found by it."""
    settings = config.model_dump_json(
        exclude={"workspace", "reports", "limit", "events", "report", "compare"}
    )
    digest = hashlib.sha256(settings.encode())
    for array in (rows.index, rows.values, rows.used):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _span(rows: Rows, grid: Grid) -> dict[str, Any]:
    """First and last time (UTC), and the number of rows that were learnt from."""
    first, last = (
        datetime.fromtimestamp(int(grid.time_us(row)) / 1e6, UTC).isoformat(timespec="seconds")
        for row in (rows.index[0], rows.index[-1])
    )
    return {"first": first, "last": last, "rows": len(rows.index), "used": int(rows.used.sum())}


def _finite(table: dict[str, Any]) -> dict[str, Any]:
    """NaN as null: JSON has no other word for it."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in table.items()
    }
