"""Requests that were refused for good, kept beside the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaqual.errors import Fault, FaultKind, StoreError
from alpaqual.store.ledger import Ledger
from alpaqual.store.refused import REFUSED, RefusedFile

FAULT = Fault(FaultKind.REQUEST, "refused by the server (400)", "too long \udc00")


def test_a_refusal_is_found_by_another_process_at_the_same_address(tmp_path: Path) -> None:
    RefusedFile(tmp_path, "http://a/v1").add("key", "openai/m", FAULT)
    found = RefusedFile(tmp_path, "http://a/v1").get("key")
    assert found is not None
    assert (found.kind, found.reason, found.detail) == (FaultKind.REQUEST, FAULT.reason, "too long \ufffd")
    assert RefusedFile(tmp_path, None).get("key") is None
    assert RefusedFile(tmp_path, "http://a/v1").get("other") is None


def test_a_refusal_is_written_once_and_the_ledger_does_not_see_it(tmp_path: Path) -> None:
    refused = RefusedFile(tmp_path / REFUSED, None)
    for _ in range(3):
        refused.add("key", "openai/m", FAULT)
    (file,) = (tmp_path / REFUSED).glob("*.jsonl")
    assert len(file.read_text().splitlines()) == 1
    assert len(Ledger(tmp_path)) == 0


def test_a_line_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    refused = RefusedFile(tmp_path, None)
    refused.add("key", "openai/m", FAULT)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(b"[]\n\xff\n{}\n" + file.read_bytes() + b'{"key": "to')
    assert RefusedFile(tmp_path, None).get("key") is not None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        RefusedFile(tmp_path / "file" / "folder", None).add("key", "openai/m", FAULT)
