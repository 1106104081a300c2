"""The yardstick of throughput: pandas reads one file whole, with its times parsed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd

STYLES = {
    "wide": {},
    "german": {"sep": ";", "decimal": ",", "date_format": "%d.%m.%Y %H:%M:%S"},
    "long": {},
}
"""How a file is written -> what pandas must be told of it."""


def main() -> None:
    """Print the wall time and the processor time of the call alone."""
    path = Path(sys.argv[1])
    style = sys.argv[2] if len(sys.argv) > 2 else "wide"
    began, cpu = time.monotonic(), time.process_time()
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
    else:
        frame = pd.read_csv(path, parse_dates=["time"], **STYLES[style])
    spent = {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}
    print(json.dumps(spent | {"rows": len(frame)}))


if __name__ == "__main__":
    main()
