"""The tags file: a CSV table with a line for each tag comes in, what is known of them goes out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensor_ad.errors import UsageError


def read_tags_file(path: Path, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read a table of tags; an empty cell means unset.

    Parameters
    ----------
    columns
        Those that may be there; the first is the tag's name.

    Raises
    ------
    UsageError
        The file cannot be read, has other columns, or names a tag twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UsageError(
            f"the tags file {path} cannot be read ({error.strerror}); correct data.tags_file."
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"the tags file {path} is not UTF-8 text; save it as UTF-8.") from None
    table: dict[str, dict[str, Any]] = {}
    for line, row in enumerate(rows, start=2):
        unknown = [key for key in row if key not in columns]
        if unknown or not row.get("tag"):
            raise UsageError(
                f"{path}, line {line}: columns must be {', '.join(columns)} (separated by commas), "
                f"found {', '.join(str(key) for key in row)}; correct the header."
            )
        name = row.pop("tag")
        if name in table:
            raise UsageError(
                f"{path}, line {line}: the tag {name!r} stands there twice; remove one."
            )
        table[name] = {key: value for key, value in row.items() if value not in ("", None)}
    return table
