"""Files that are whole or not there: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sensor_ad.errors import ResourceError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path; what is written there replaces `path` when the block ends well.

    Raises
    ------
    ResourceError
        The folder cannot be written, or the disk is full; what stood at `path` is still there.
    """
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _resource_error(path, error) from error
    finally:
        with suppress(OSError):  # it is gone, or it was never there
            temporary.unlink()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` (which must not exist) when the block ends well.

    Raises
    ------
    ResourceError
        `path` exists, its folder cannot be written, or the disk is full.
    """
    if path.exists():
        raise ResourceError(f"{path} exists already; choose a folder that does not exist yet.")
    temporary = path.with_name(f".{path.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _sync(file)
        _sync(temporary)
        temporary.rename(path)
        _sync(path.parent)
    except OSError as error:
        if error.filename is not None and path.parent not in Path(str(error.filename)).parents:
            raise  # something else that the block did, not this folder
        raise _resource_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON (NaN refused), whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot sync a folder
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _resource_error(path: Path, error: OSError) -> ResourceError:
    if error.errno == errno.ENOSPC:
        return ResourceError(f"the disk is full: {path} could not be written; free some space.")
    return ResourceError(
        f"{path} could not be written ({error.strerror}); choose a folder that can be written."
    )
