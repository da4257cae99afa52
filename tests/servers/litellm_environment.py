"""A Python environment with LiteLLM's proxy: its versions conflict with those that the tests are pinned to."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENT = "litellm[proxy]==1.108.7"


def litellm_python(temporary: pytest.TempPathFactory) -> Path:
    """The Python that has it: of ALPAQUAL_LITELLM, a folder of an environment, or of one that is made now, once for all processes.

    Raises CalledProcessError where it cannot be made.
    """
    if given := os.environ.get("ALPAQUAL_LITELLM"):
        return Path(given) / "bin" / "python"
    root = temporary.getbasetemp()
    root = root.parent if root.name.startswith("popen-") else root
    folder, ready = root / "litellm", root / "litellm-is-ready"
    with (root / "litellm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", REQUIREMENT], check=True)
            ready.touch()
    return folder / "bin" / "python"
