"""SHA-256 of files, made by a thread while they are read for their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class FileHashes:
    """Hashes of an export's files; hashing starts at once and runs beside everything else."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hash")
        self._made = {path.name: self._pool.submit(sha256_of, path) for path in paths}
        self._pool.shutdown(wait=False)

    def result(self) -> dict[str, str]:
        """Wait for the hashes; file name -> SHA-256."""
        return {name: made.result() for name, made in self._made.items()}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
