"""Whether a packed file is whole."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

_CHUNK = 64 * 1024


def verify_compressed_file(file: str) -> None:
    """Unpack a .gz or .zst file once, to its end.

    Raises ValueError where it is cut off or damaged: DuckDB reads what is left of a .zst without a word, and no sums of a .gz.
    """
    if file.startswith("hf://") or not file.endswith((".gz", ".zst")):
        return
    import zstandard

    try:
        if file.endswith(".gz"):
            with gzip.open(file) as stream:
                while stream.read(_CHUNK):
                    pass
        else:
            _unpack_frames(file)
    except (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise ValueError(f"{Path(file).name}: the packed file is cut off or damaged ({error})") from None


def _unpack_frames(file: str) -> None:
    import zstandard

    frame = None
    with Path(file).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            while chunk:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                frame.decompress(chunk)
                chunk = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("it ends within a frame")
