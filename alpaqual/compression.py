"""Compressed files: how a file is compressed, by its content; its bytes; whether it is whole."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
"""Compression by the ending of a file's name."""
_MAGIC = {
    "gzip": (b"\x1f\x8b\x08",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),
    "bz2": tuple(b"BZh%d" % n + end for n in range(1, 10) for end in (b"1AY&SY", b"\x17rE8P\x90")),
    "xz": (b"\xfd7zXZ\x00",),
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
}
_ANY_START = tuple(start for starts in _MAGIC.values() for start in starts)
_FIRST = 10
_CHUNK = 1 << 20


def damage() -> tuple[type[Exception], ...]:
    """What reading a file that is truncated or damaged raises."""
    import zstandard

    return (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, zstandard.ZstdError)


def compression_of(file: str) -> str | None:
    """The compression of a local file: by its first bytes, else by its name; None for a plain file."""
    with open(file, "rb") as stream:  # noqa: PTH123 - a Path for each of ten thousand files takes seconds
        return compression_by(stream.read(_FIRST), file)


def compression_by(first: bytes, file: str) -> str | None:
    """The compression of a file, by the bytes that it starts with, else by its name."""
    if first.startswith(_ANY_START):
        return next(kind for kind, starts in _MAGIC.items() if first.startswith(starts))
    return SUFFIXES.get(file[file.rfind(".") :].lower())


def plain_name(file: str) -> str:
    """The file's name without the ending of its compression; of a zip without another ending, the name of its member."""
    path = Path(file)
    if path.suffix.lower() not in SUFFIXES:
        return path.name
    if path.suffix.lower() == ".zip" and not Path(path.stem).suffix and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return next((name for name in archive.namelist() if not name.endswith("/")), path.stem)
    return path.stem


def open_bytes(file: str) -> IO[bytes]:
    """The file's bytes, decompressed.

    Raises ValueError for a zip that does not hold exactly one file.
    """
    plain = open(file, "rb")  # noqa: PTH123, SIM115 - returned to be closed by the caller
    kind = compression_by(plain.peek(_FIRST)[:_FIRST], file)
    if kind is None:
        return plain
    plain.close()
    if kind == "gzip":
        return cast("IO[bytes]", gzip.open(file, "rb"))
    if kind == "zstd":
        import zstandard

        compressed = Path(file).open("rb")  # noqa: SIM115 - the reader closes it
        reader = zstandard.ZstdDecompressor().stream_reader(compressed, read_across_frames=True, closefd=True)
        return io.BufferedReader(cast("io.RawIOBase", reader))
    if kind == "bz2":
        return cast("IO[bytes]", bz2.open(file, "rb"))
    if kind == "xz":
        return cast("IO[bytes]", lzma.open(file, "rb"))
    return _only_member(file)


def _only_member(file: str) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        archive.close()
        raise ValueError(f"the zip holds {len(members)} files: pack one file, or unpack it and name the files")
    if members[0].flag_bits & 1:
        archive.close()
        raise ValueError("the zip is encrypted: unpack it and name the file")
    return archive.open(members[0])


def verify_compressed_file(file: str) -> None:
    """Decompress a file once, to its end; a plain file is left alone.

    Raises ValueError where it is truncated or damaged: DuckDB reads what is left of a .zst without an error, and checks no sums
    of a .gz.
    """
    if file.startswith("hf://") or (kind := compression_of(file)) is None:
        return
    try:
        if kind == "zstd":
            _unpack_frames(file)
        else:
            with open_bytes(file) as stream:
                while stream.read(_CHUNK):
                    pass
    except damage() as error:
        raise ValueError(f"{Path(file).name}: the compressed file is truncated or damaged ({error})") from None
    except NotImplementedError as error:
        raise ValueError(f"{Path(file).name}: {error}") from None


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
