"""How long a server asks to wait, in every form that providers and gateways write it."""

from __future__ import annotations

import datetime
import math
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

_EPOCH_SECONDS = 1e9
"""Numbers from here on are Unix times, and 1,000 times as large ones Unix times in milliseconds."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d"
_PART = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})(?![a-z])")
_SENTENCE = re.compile(rf"(?:try again|retry|wait)[^.]{{0,20}}?\s((?:\d+(?:\.\d+)?\s*(?:{_UNIT})(?![a-z])[\s,]*)+)")
"""Words such as "Please try again in 6m0s"; in lower case."""


def pause_of(headers: Mapping[str, str], error: Mapping[str, Any] | None = None, message: str = "") -> float | None:
    """Seconds that a server asks to wait, by its headers, its error or its words; None where it does not ask."""
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    found = _retry_after(lower)
    if found is None:
        found = _reset(lower)
    if found is None and error is not None:
        found = _in_error(error)
    if found is None and (sentence := _SENTENCE.search(message.lower())):
        found = seconds_of(sentence[1])
    return found


def seconds_of(text: str) -> float | None:
    """Seconds until a moment in one of these forms; None for others.

    A number of seconds, a Unix time in seconds or milliseconds, a duration ("6m0s", "26 seconds"), a date of HTTP or ISO 8601.
    """
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return _duration(text.lower()) or _date(text)
    if not math.isfinite(number):
        return None
    if number >= _EPOCH_SECONDS:
        number = (number / 1000 if number >= 1000 * _EPOCH_SECONDS else number) - time.time()
    return max(0.0, number)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The header that is meant for this."""
    try:
        milliseconds = float(headers["retry-after-ms"])
        if math.isfinite(milliseconds):
            return max(0.0, milliseconds / 1000)
    except (KeyError, ValueError):
        pass
    return seconds_of(headers["retry-after"]) if "retry-after" in headers else None


def _reset(headers: Mapping[str, str]) -> float | None:
    """The latest reset of a limit of which nothing remains; a limit that does not say what remains counts, if it is the only one."""
    found = []
    for name, value in headers.items():
        if "ratelimit" in name and "reset" in name:
            remaining = headers.get(name.replace("reset", "remaining"))
            single = remaining is None and name.endswith("reset") and not name.startswith("anthropic-")
            if single or (remaining is not None and remaining.strip() in ("0", "0.0")):
                found.append(seconds_of(value))
    return max((seconds for seconds in found if seconds is not None), default=None)


def _in_error(error: Mapping[str, Any]) -> float | None:
    """OpenRouter's copy of headers, Google's RetryInfo, and plain fields."""
    for part in _parts(error):
        for name in ("retryDelay", "retry_after", "retry_after_seconds"):
            if isinstance(part.get(name), str | int | float) and not isinstance(part[name], bool):
                return seconds_of(str(part[name]))
        copied = part.get("headers")
        if isinstance(copied, Mapping) and (found := pause_of(copied)) is not None:
            return found
    return None


def _parts(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield error
    metadata, details = error.get("metadata"), error.get("details")
    if isinstance(metadata, Mapping):
        yield metadata
    yield from (part for part in (details if isinstance(details, list) else ()) if isinstance(part, Mapping))


def _duration(text: str) -> float | None:
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip(" ,"):
        return None
    return sum(float(number) * _UNITS["ms" if unit.startswith(("ms", "milli")) else unit[0]] for number, unit in parts)


def _date(text: str) -> float | None:
    for read in (parsedate_to_datetime, datetime.datetime.fromisoformat):
        try:
            moment = read(text)
        except (ValueError, TypeError):
            continue
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())
    return None
