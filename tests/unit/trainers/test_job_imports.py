"""A job needs torch, transformers, safetensors and numpy alone: none of what alpaqual's other parts import."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")
from training import ROOT, Folder, tiny_job, write_tokenizer

pytestmark = pytest.mark.slow

WITHOUT = """
import builtins, runpy, sys

imported = builtins.__import__

def guarded(name, globals=None, *rest, **more):
    if (globals or {}).get("__name__", "").partition(".")[0] in ("alpaqual", "__main__") and name.partition(".")[0] in FORBIDDEN:
        raise ImportError(f"{(globals or {}).get('__name__')} imports {name}")
    return imported(name, globals, *rest, **more)

builtins.__import__ = guarded
sys.argv = ["fsdp_job", "job.json"]
runpy.run_module("alpaqual.trainers.fsdp_job", run_name="__main__")
"""
MODULES = {"pyyaml": "yaml", "genai": "genai_prices"}


def test_a_job_imports_none_of_the_projects_dependencies(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {line.split(">")[0].split("[")[0].split("-")[0].strip().lower() for line in project["dependencies"]}
    forbidden = {MODULES.get(name, name) for name in names}
    assert {"duckdb", "jsonschema", "msgspec", "yaml"} <= forbidden
    folder = Folder.of(tmp_path / "job", tiny_job(write_tokenizer(tmp_path / "tokenizer"), epochs=1), count=12)
    code = WITHOUT.replace("FORBIDDEN", repr(forbidden))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder.path / "model" / "model.safetensors").is_file()
