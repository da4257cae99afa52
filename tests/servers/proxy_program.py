"""LiteLLM's proxy as a program: `python proxy_program.py SETTINGS`, JSON with port and config.

It runs in the environment that has `litellm[proxy]`, and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path


def main(words: str) -> None:
    """Serve on 127.0.0.1 until standard input ends."""
    settings = json.loads(words)
    threading.Thread(target=_end_with_input, daemon=True).start()
    # The list of prices comes with the package: none is downloaded.
    os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_TELEMETRY="False")
    from litellm.proxy.proxy_cli import run_server

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        # JSON is YAML.
        config.write_text(json.dumps(settings["config"]))
        run_server(["--config", str(config), "--host", "127.0.0.1", "--port", str(settings["port"])])


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
