"""A CUDA device that is none: the code runs as it would there, its tensors have a device and a shape and no memory.

It shows tensors of two devices meeting, dtypes that a kernel does not take, and where a program waits for the device. What a kernel
computes, and how long it takes, it does not show.
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


def in_package(filename: str, package: Path = Path(alpaqual.__file__).parent) -> bool:
    """Whether a source file is the package's own. A checkout may be called alpaqual, too."""
    return Path(filename).is_relative_to(package)


def made(folder: Path) -> Path:
    """The part of the device that torch asks in C++."""
    import torch

    at = Path(torch.__file__).parent
    library = folder / "cuda.so"
    words = ["-std=c++20", "-O0", "-shared", "-fPIC", f"-I{at / 'include'}", HERE / "cuda.cpp", "-o", library]
    words += [f"-L{at / 'lib'}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{at / 'lib'}"]
    built = subprocess.run(["g++", *map(str, words)], capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    return library


def run(script: str, library: Path, **settings: Any) -> dict[str, Any]:
    """What a script of this folder finds out, in a process of its own: the device is made up before torch is read."""
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
