"""What has to be on the disk before something else may happen."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Wait until the disk has a file, or knows which files a folder holds. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a file under another name, then rename it. `durable` waits until text and name are on the disk. Raises OSError."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    if durable:
        flush(temporary)
    temporary.replace(path)
    if durable:
        flush(path.parent)
