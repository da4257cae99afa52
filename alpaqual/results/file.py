"""`results.json`: results as text, and a file that is read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from alpaqual.errors import Problem, RecipeError
from alpaqual.results.results import RESULTS_VERSION, Results

RESULTS = "results.json"
_AGAIN = "run its recipe again: alpaqual run RECIPE"


def results_text(results: Results) -> str:
    """Return results as the text of `results.json`."""
    return msgspec.json.format(msgspec.json.encode(results), indent=1).decode() + "\n"


def read_results(folder: Path) -> Results:
    """Read the results of a finished run from its folder.

    Raises RecipeError where the folder has none, or where they are broken, foreign or of another version.
    """
    path = folder / RESULTS
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _error(folder, f"holds no finished run (no {RESULTS}); {_AGAIN}") from None
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror}); name the folder of a finished run") from None
    _check_version(path, content)
    try:
        return msgspec.json.decode(content, type=Results)
    except msgspec.ValidationError as error:
        raise _error(path, f"is broken ({error}); {_AGAIN}") from None


class _Header(msgspec.Struct):
    """The keys by which results of alpaqual differ from another program's file."""

    version: Any = None
    verdict: Any = None
    recipe: Any = None


def _check_version(path: Path, content: bytes) -> None:
    """Raises RecipeError where a file is no JSON object, another program's, or of another version."""
    try:
        # msgspec leaves keys and texts that it skips undecoded.
        header = msgspec.json.decode(content.decode(), type=_Header)
    except msgspec.ValidationError:
        header = _Header()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _error(path, f"is no whole JSON file ({error}): it was cut off or edited; {_AGAIN}") from None
    if header.verdict is None or not isinstance(header.recipe, dict) or type(header.version) is not int:
        raise _error(
            path, "was not written by alpaqual (no version, recipe and verdict); name the folder of a finished run"
        )
    if header.version > RESULTS_VERSION:
        raise _error(
            path,
            f"was written by a newer alpaqual (results version {header.version}, this one reads {RESULTS_VERSION}); "
            f"install that version: pip install --upgrade alpaqual; or {_AGAIN}",
        )
    if header.version < RESULTS_VERSION:
        raise _error(
            path,
            f"was written by an older alpaqual (results version {header.version}, this one reads {RESULTS_VERSION}); {_AGAIN}",
        )


def _error(path: Path, message: str) -> RecipeError:
    return RecipeError([Problem(str(path), 0, 0, message)])
