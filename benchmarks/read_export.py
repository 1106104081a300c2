"""One export read to its end by `open_export`, in a process of its own; what it took goes out."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Print wall time and processor time without start-up, and what was read."""
    from sensor_ad.exports import ReadSettings, open_export
    from sensor_ad.exports.imports import Imports

    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="imports-") as folder:
        began, cpu = time.monotonic(), time.process_time()
        export = open_export([path], ReadSettings(), Imports(Path(folder)))
        rows = sum(len(chunk.time_us) for chunk in export.chunks())
        spent = {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}
    account = export.account()
    counts = {"rows": rows, "rows_in": account.rows_in, "kept": account.kept}
    print(json.dumps(spent | counts | {"dropped": sum(account.dropped.values())}))


if __name__ == "__main__":
    main()
