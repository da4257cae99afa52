"""A provider on 127.0.0.1: `python -m tests.loopback.server --port 0`, or this file by its path.

Prints one JSON line, {"port": …, "pid": …}, when it is ready. `--settings` takes JSON, see `settings.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # By its package rather than by the name `tests`, which any other installed package may have taken.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from loopback.serving import main

    main(sys.argv[1:])
