"""How far a command is: a bar on a terminal, a line every ten seconds in a log, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.progress

LOG_EVERY_S = 10.0


class Progress:
    """Tells how far each stage is, for the length of a with-block."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: rich.progress.Progress | None = None
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._told = time.monotonic()

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            import rich.console
            import rich.progress

            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.TaskProgressColumn(),
                rich.progress.TimeRemainingColumn(),
                console=rich.console.Console(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, what: str, done: int, total: int) -> None:
        """Say that `done` of `total` are done of what is being done."""
        if self._quiet:
            return
        if self._bar is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bar.add_task(what, total=total)
            self._bar.update(self._tasks[what], completed=done, total=total)
            return
        now = time.monotonic()
        if now - self._told >= LOG_EVERY_S:
            self._told = now
            print(f"{what}: {done / max(total, 1):.0%}", file=sys.stderr, flush=True)  # noqa: T201


def messages(lines: Sequence[str], quiet: bool) -> None:
    """Print sentences for the user to stderr."""
    if not quiet:
        for line in lines:
            print(line, file=sys.stderr)  # noqa: T201
