"""`--dry-run`: config, exports and model are checked as for the real thing; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensor_ad.compare import compare_period, compare_tags
from sensor_ad.config import Config
from sensor_ad.exports import open_export
from sensor_ad.limit_change import changed_limit, in_force, read_changes
from sensor_ad.limits import limit_from
from sensor_ad.manifest import check_bundle
from sensor_ad.prepare import split_parts, usable_window
from sensor_ad.reading import (
    Announce,
    announced,
    probed,
    read_history,
    read_settings,
    silent,
    training_exports,
)
from sensor_ad.store import open_workspace


def check_training(config: Config, exports: Sequence[Path], announce: Announce) -> dict[str, Any]:
    """Read the exports as a training would, and say what it would be trained on."""
    export = open_export(training_exports(config, exports), read_settings(config))
    history, maker, notes = read_history(config, export, announce)
    used = history.rows.used
    window = usable_window(config.prepare.window, int(used.sum()))
    in_time = split_parts(used, config.prepare.parts, window) is not None
    kinds = zip(history.tags, history.kinds, strict=True)
    return {
        "exports": ", ".join(path.name for path in export.files),
        "rows read": export.account().rows_in,
        "grid rows": len(used),
        "rows to learn from": int(used.sum()),
        "left out by use_when": maker.unused,
        "period_s": history.grid.period_us / 1e6,
        "tags": ", ".join(f"{tag.name} ({kind})" for tag, kind in kinds),
        "window": window,
        "fitted by": "parts in time" if in_time else "blocked cross-fitting",
        "notes": "; ".join((*export.account().notes, *notes)) or "none",
        "written": "nothing (dry run)",
    }


def check_scoring(config: Config, exports: Sequence[Path], model: str | None) -> dict[str, Any]:
    """Check the model and whether it fits the exports."""
    from sensor_ad.prepare import from_json

    workspace = open_workspace(config.path(config.workspace), config.asset)
    name = model or workspace.champion()
    manifest, arrays = check_bundle(workspace.model_folder(name))
    trained = limit_from(manifest["limit"], arrays)
    limit = changed_limit(trained, in_force(read_changes(workspace, name)))
    preparation = from_json(manifest["preparation"], arrays)
    export = open_export(exports, read_settings(config))
    tags = compare_tags(export.tags, preparation, config)
    times, _ = probed(announced(export, silent))
    _, period = compare_period(times, preparation, config, None)
    return {
        "model": name,
        "exports": ", ".join(path.name for path in export.files),
        "tags": f"{len(preparation.tags)} of {len(preparation.tags)} needed"
        if not tags.sentences
        else "; ".join(tags.sentences),
        "period": "; ".join(period.sentences) or "as in training",
        "limit": limit.value,
        "written": "nothing (dry run)",
    }
