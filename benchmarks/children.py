"""A command line comes in, its wall time and peak memory go out.

The parent must stay small: Linux counts the parent's memory as its child's until the child's own
program begins. So the benchmarks import numpy, pandas and torch in children only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MEBI = 1 << 20


@dataclass(frozen=True)
class Child:
    """What a process took and said."""

    seconds: float
    """Wall time from start to end."""
    cpu_s: float
    """Processor time of all its threads: what it takes whatever else the machine does."""
    peak_mib: float
    """Peak resident memory."""
    said: Any
    """Its output, read as JSON; None when there was none."""


def run_module(module: str, *arguments: object) -> Child:
    """Run ``python -m module`` to its end; ends the benchmark with its messages if it fails."""
    return run([sys.executable, "-m", module, *map(str, arguments)])


def run(command: Sequence[str]) -> Child:
    """Run a command to its end."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        child = subprocess.Popen(command, stdout=output, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if child.returncode:
            sys.exit(f"{' '.join(command)}\n{errors.read().decode()}")
        text = output.read().decode()
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    said = json.loads(text) if text.strip() else None
    cpu_s = usage.ru_utime + usage.ru_stime
    return Child(seconds, cpu_s, usage.ru_maxrss * unit / MEBI, said)
