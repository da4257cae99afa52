"""Imports polars and pandera, which the extra `notebook` installs, when first needed."""

from __future__ import annotations

import os
from typing import Any

from alpaqual.errors import MachineError
from alpaqual.store.grades import require_validation


def require(*packages: str) -> None:
    """Raises MachineError where one of the packages is not installed."""
    from importlib.util import find_spec

    lacking = [package for package in packages if find_spec(package) is None]
    if lacking:
        raise MachineError(f"this needs {', '.join(lacking)}: pip install 'alpaqual[notebook]'")


def polars() -> Any:
    """The package polars.

    Raises MachineError where it is not installed.
    """
    require("polars")
    import polars

    return polars


def pandera_polars() -> Any:
    """pandera with its polars backend, set to check data and not only types: eager frames, schema and data.

    Its other backends lose failures (docs/decisions/0003). Raises MachineError where it is not installed, or where the
    environment switches validation off: a disabled check passes every row.
    """
    require_validation()
    require("pandera", "polars")
    os.environ.setdefault("PANDERA_VALIDATION_DEPTH", "SCHEMA_AND_DATA")
    os.environ.setdefault("DISABLE_PANDERA_IMPORT_WARNING", "True")
    import pandera.polars as pa

    return pa
