"""A model's limit changed without training: what the engineer asks for in, the limit in force out.

The bundle stays as it was trained. The changes stand beside the models, in
``workspace/<asset>/limits/<model>.json``, with their time and reason; the last one counts.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sensor_ad.config import LimitSettings
from sensor_ad.durable import write_json
from sensor_ad.errors import ModelError, UsageError
from sensor_ad.limits import BY_HAND, Limit, limit_from, with_budget, with_value
from sensor_ad.manifest import check_bundle
from sensor_ad.store import Workspace
from sensor_ad.wording import shorten

KEPT_CHANGES = 50
"""Changes of one model that are remembered, the newest."""
LONGEST_REASON = 500
RAREST = 1e-12
"""Fewest events a day that a budget may allow: far below one in the age of any plant."""


@dataclass(frozen=True)
class LimitChange:
    """One change of a model's limit."""

    time: str
    """ISO, UTC."""
    kind: Literal["budget", "value", "reset"]
    value: float
    """The limit from then on."""
    before: float
    """The limit until then."""
    trained: float
    """What training chose."""
    events: float | None = None
    days: float | None = None
    """The budget asked for, if one was."""
    reason: str = ""

    @property
    def statement(self) -> str:
        """Say when the limit was changed, from what to what, how and why."""
        when = self.time.replace("T", " ")[:16]
        how = "by hand"
        if self.events is not None and self.days is not None:
            events = "event" if self.events == 1 else "events"
            how = f"for at most {self.events:g} false {events} per {self.days:g} days"
        elif self.kind == "reset":
            how = "back to what training chose"
        text = (
            f"The limit was changed {how} on {when} UTC, from {self.before:.4g} to {self.value:.4g}"
        )
        if self.kind != "reset":
            text += f"; training chose {self.trained:.4g}"
        reason = f"Reason: {self.reason.rstrip('.')}" if self.reason else "No reason was given"
        return f"{text}. {reason}."


@dataclass(frozen=True)
class LimitRequest:
    """What the engineer asks for; nothing at all to look only."""

    events: float | None = None
    days: float | None = None
    value: float | None = None
    reset: bool = False
    reason: str = ""


@dataclass(frozen=True)
class ModelLimit:
    """The limit of one model: as trained, in force, and how it came to that."""

    model: str
    trained: Limit
    now: Limit
    changes: tuple[LimitChange, ...]
    """Oldest first."""

    @property
    def change(self) -> LimitChange | None:
        """The change that is in force; None when it is what training chose."""
        return in_force(self.changes)


def model_limit(workspace: Workspace, model: str) -> ModelLimit:
    """Find the limit of a model.

    Raises
    ------
    ModelError
        There is no such model, or it or its changes are damaged.
    """
    trained = limit_from(*_checked_bundle(workspace.model_folder(model)))
    changes = read_changes(workspace, model)
    return ModelLimit(model, trained, changed_limit(trained, in_force(changes)), changes)


def read_changes(workspace: Workspace, model: str) -> tuple[LimitChange, ...]:
    """Read the changes of a model's limit, oldest first; none when there are none.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    path = _path(workspace, model)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        changes = tuple(LimitChange(**one) for one in table["changes"])
        sound = (
            table["model"] == model
            and table["sha256"] == _digest(table["changes"])
            and all(math.isfinite(one.value) for one in changes)
        )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise ModelError(
            f"{path} is damaged, so the limit in force of model {model} is not known; go back to "
            f"what training chose ('sensor-ad models limit CONFIG {model} --reset'), or restore "
            "the file from a copy."
        )
    return changes


def in_force(changes: tuple[LimitChange, ...]) -> LimitChange | None:
    """Give the change that counts; None when the limit is what training chose."""
    return changes[-1] if changes and changes[-1].kind != "reset" else None


def changed_limit(trained: Limit, change: LimitChange | None) -> Limit:
    """Apply a change to the limit of training."""
    if change is None:
        return trained
    if change.events is None or change.days is None:
        return with_value(replace(trained, method=BY_HAND), change.value)
    solved = with_budget(trained, LimitSettings(events=change.events, days=change.days))
    return with_value(solved, change.value)


def change_limit(workspace: Workspace, model: str, asked: LimitRequest) -> ModelLimit:
    """Change the limit of a model; writes ``limits/<model>.json``.

    Damaged changes are lost by going back to what training chose, and refused otherwise.

    Raises
    ------
    UsageError
        What is asked for contradicts itself, or is no limit.
    ModelError
        There is no such model, or it is damaged.
    """
    check_request(asked)
    trained = limit_from(*_checked_bundle(workspace.model_folder(model)))
    with workspace.lock():
        changes = _sound_changes(workspace, model, asked)
        before = in_force(changes)
        if before is not None or not asked.reset:
            changes = (*changes, _change(trained, changed_limit(trained, before), asked))
            _write_changes(workspace, model, changes[-KEPT_CHANGES:])
    changes = read_changes(workspace, model)
    return ModelLimit(model, trained, changed_limit(trained, in_force(changes)), changes)


def _sound_changes(
    workspace: Workspace, model: str, asked: LimitRequest
) -> tuple[LimitChange, ...]:
    """Read the changes; damaged ones are given up when the limit goes back to that of training."""
    try:
        return read_changes(workspace, model)
    except ModelError:
        if not asked.reset:
            raise
    _write_changes(workspace, model, ())
    return ()


def _write_changes(workspace: Workspace, model: str, changes: tuple[LimitChange, ...]) -> None:
    table = [asdict(one) for one in changes]
    facts = {"model": model, "changes": table, "sha256": _digest(table)}
    write_json(_path(workspace, model), facts)


def check_request(asked: LimitRequest) -> None:
    """Refuse what contradicts itself or is no limit.

    Raises
    ------
    UsageError
        With what was found and what is possible.
    """
    given = {"--events": asked.events, "--value": asked.value, "--reset": asked.reset or None}
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) > 1:
        raise UsageError(
            f"{' and '.join(ways)} were given together; a limit is changed in one way: name one of "
            "--events, --value and --reset."
        )
    if asked.days is not None and asked.events is None:
        raise UsageError(
            "--days was given without --events, the number of false events that are allowed in so "
            "many days; give both."
        )
    if asked.reason and not ways:
        raise UsageError(
            "--reason was given without a change; name one of --events, --value and --reset."
        )
    numbers = {"--events": asked.events, "--days": asked.days, "--value": asked.value}
    for name, value in numbers.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} is {value:g}, a number above 0 was expected; correct it.")


def _change(trained: Limit, before: Limit, asked: LimitRequest) -> LimitChange:
    """Work out what is asked for."""
    change = LimitChange(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        kind="reset",
        value=trained.value,
        before=before.value,
        trained=trained.value,
        reason=shorten(asked.reason, LONGEST_REASON),
    )
    if asked.value is not None:
        return replace(change, kind="value", value=asked.value)
    if asked.events is None:
        return change
    days = before.budget_days if asked.days is None else asked.days
    if asked.events / days < RAREST:
        raise UsageError(
            f"no score is so rare as {asked.events:g} events per {days:g} days; allow more events."
        )
    value = with_budget(trained, LimitSettings(events=asked.events, days=days)).value
    return replace(change, kind="budget", value=value, events=asked.events, days=days)


def _checked_bundle(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    manifest, arrays = check_bundle(folder)
    return manifest["limit"], arrays


def _path(workspace: Workspace, model: str) -> Path:
    return workspace.limits / f"{model}.json"


def _digest(changes: list[dict[str, Any]]) -> str:
    """Hash the changes, whatever the make-up of the file."""
    return hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()
