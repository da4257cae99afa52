"""The ledger: an append-only record of replies, in JSON Lines, keyed by the content of the request.

{"key": "…", "model": "openai/gpt-4o-mini", "text": "4.5\\n…", "input_tokens": 312, "output_tokens": 41}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alpaqual.errors import StoreError
from alpaqual.values import Reply, Request


def request_key(request: Request) -> str:
    """sha256 over model, messages and parameters in canonical JSON, in hexadecimal."""
    content = [request.model, [list(message) for message in request.messages], dict(request.parameters)]
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


class Recording:
    """Replies read from one ledger file, or from every `.jsonl` of a folder. Of two replies to one key the first counts."""

    def __init__(self, path: Path) -> None:
        self._replies: dict[str, Reply] = {}
        self._models: dict[str, None] = {}
        files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
        for file in files:
            for key, reply in _entries(file):
                self._replies.setdefault(key, reply)
                self._models[reply.model] = None

    def get(self, key: str) -> Reply | None:
        """The reply to the request of this key."""
        return self._replies.get(key)

    def models(self) -> Sequence[str]:
        """The models that replied, in order of their first reply."""
        return list(self._models)


def entry(key: str, reply: Reply) -> str:
    """One line of a ledger, without its line end."""
    fields: dict[str, Any] = {
        "key": key,
        "model": reply.model,
        "text": reply.text,
        "input_tokens": reply.input_tokens,
        "output_tokens": reply.output_tokens,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}, ensure_ascii=False)


def _entries(file: Path) -> Iterator[tuple[str, Reply]]:
    """Entries of one file. A torn last line, which a killed process leaves, is passed over; any other broken line is an error."""
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise StoreError(f"the recorded replies {file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _entry(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            if number == len(lines):
                return
            raise StoreError(f"{file}:{number}: not an entry of a ledger (key, model, text)") from None


def _entry(value: Any) -> tuple[str, Reply]:
    """Key and reply of an entry. Raises ValueError, KeyError or TypeError where it is none."""
    texts = [value[field] for field in ("key", "text", "model")]
    tokens = [value.get(field) for field in ("input_tokens", "output_tokens")]
    if not all(isinstance(text, str) for text in texts) or not all(type(n) in (int, type(None)) for n in tokens):
        raise TypeError("a key, a text and a model are texts, tokens are numbers")
    # A lone surrogate, which JSON can spell and no file can hold, becomes the replacement character.
    key, text, model = (text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts)
    return key, Reply(text, model, *tokens)
