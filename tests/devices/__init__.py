"""A fake CUDA device: code runs as on a GPU, on tensors that have a device and a shape and no memory.

It shows operations on tensors of two devices, dtypes that a kernel refuses, and where a program synchronizes. It does not show
what a kernel computes, or how long it takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import alpaqual

HERE = Path(__file__).parent
LIBRARY = "cuda.so"


def in_package(filename: str, package: Path = Path(alpaqual.__file__).parent) -> bool:
    """Whether a source file is the package's own. A checkout may be called alpaqual, too."""
    return Path(filename).is_relative_to(package)


def made(folder: Path) -> None:
    """Compile the part of the device that torch calls in C++, into LIBRARY in a new folder."""
    import torch

    at = Path(torch.__file__).parent
    folder.mkdir()
    library = folder / LIBRARY
    words = ["-std=c++20", "-O0", "-shared", "-fPIC", f"-I{at / 'include'}", HERE / "cuda.cpp", "-o", library]
    words += [f"-L{at / 'lib'}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{at / 'lib'}"]
    built = subprocess.run(["g++", *map(str, words)], capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr[-3000:]


def run(script: str, library: Path, **settings: Any) -> dict[str, Any]:
    """Run a script of this folder in a process of its own, which fakes the device before it imports torch. Returns its output."""
    root = HERE.parent.parent
    done = subprocess.run(
        [sys.executable, str(HERE / script), str(library), json.dumps(settings)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}:{root / 'tests'}:{root / 'tests/unit/llm'}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
