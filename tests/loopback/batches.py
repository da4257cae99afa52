"""Files and batches of OpenAI, message batches of Anthropic; all in memory."""

from __future__ import annotations

import datetime
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from .completing import NO_SAMPLING, Completer
from .connection import header
from .prompts import prompt_of
from .replies import ANTHROPIC, OPENAI, PAGE, Answer, failure, is_status
from .settings import Settings

_LEFT = {"expire": "expired", "cancel": "canceled"}


@dataclass
class Batch:
    """Requests that were sent together; `rows` are (custom id, body, prompt, fault)."""

    id: str
    provider: str
    made: float
    rows: list[tuple[str, Any, str, str]]
    metadata: dict[str, str] | None = None
    file: str = ""
    ends: float = 0.0
    outcome: str = "completed"
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return time.time() >= self.ends


class Batches:
    """Answers every call that is about files and batches."""

    def __init__(self, settings: Settings, completer: Completer) -> None:
        self.settings = settings
        self.completer = completer
        self.forget()

    def forget(self) -> dict[str, Any]:
        """Lose all files and batches."""
        self.files: dict[str, bytes] = {}
        self.purposes: dict[str, str] = {}
        self.known: dict[str, Batch] = {}
        return {}

    def facts(self) -> list[dict[str, Any]]:
        """The batches, in order."""
        return [
            {"id": batch.id, "provider": batch.provider, "rows": len(batch.rows), "metadata": batch.metadata}
            for batch in self.known.values()
        ]

    def answer(self, method: str, path: str, query: str, head: bytes, body: bytes) -> Answer:
        """The answer to a call."""
        words = {name: values[0] for name, values in parse_qs(query).items()}
        path = path.removeprefix("/v1")
        calls = (
            ("POST", r"/files", lambda: self.upload(head, body)),
            ("GET", r"/files/([\w-]+)/content", self.content),
            ("GET", r"/files/([\w-]+)", self.file),
            ("DELETE", r"/files/([\w-]+)", self.delete),
            ("POST", r"/batches", lambda: self.create(json.loads(body))),
            ("GET", r"/batches", lambda: self.listed(OPENAI, words.get("after"), words)),
            ("GET", r"/batches/([\w-]+)", self.batch),
            ("POST", r"/batches/([\w-]+)/cancel", self.cancel),
            ("POST", r"/messages/batches", lambda: self.create_messages(json.loads(body), head)),
            ("GET", r"/messages/batches", lambda: self.listed(ANTHROPIC, words.get("after_id"), words)),
            ("GET", r"/messages/batches/([\w-]+)/results", self.results),
            ("GET", r"/messages/batches/([\w-]+)", self.batch),
            ("POST", r"/messages/batches/([\w-]+)/cancel", self.cancel),
        )
        for verb, pattern, call in calls:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                try:
                    return call(*found.groups())
                except KeyError as error:
                    provider = ANTHROPIC if path.startswith("/messages") else OPENAI
                    return self.completer.refuse("not_found", provider, f"No such object: {error}")
        return Answer(404, b'{"error": {"message": "no such path"}}')

    def upload(self, head: bytes, body: bytes) -> Answer:
        """A file in a multipart form."""
        boundary = re.search(rb"boundary=\"?([^\s\";]+)", head)
        parts = body.split(b"--" + (boundary.group(1) if boundary else b"\r\n"))
        fields: dict[str, bytes] = {}
        for part in parts:
            name = re.search(rb'name="(\w+)"', part)
            if name:
                fields[name.group(1).decode()] = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        if "file" not in fields or fields.get("purpose") != b"batch":
            return self.completer.refuse("invalid", OPENAI, "a file and the purpose batch are needed")
        return _json(self.described(self.keep(fields["file"], "batch")))

    def keep(self, content: bytes, purpose: str) -> str:
        """Store a file; its id."""
        name = f"file-{len(self.files) + 1:06d}"
        self.files[name] = content
        self.purposes[name] = purpose
        return name

    def described(self, name: str) -> dict[str, Any]:
        """A file object. Raises KeyError."""
        return {
            "id": name,
            "object": "file",
            "bytes": len(self.files[name]),
            "created_at": int(time.time()),
            "filename": f"{name}.jsonl",
            "purpose": self.purposes[name],
            "status": "processed",
        }

    def file(self, name: str) -> Answer:
        return _json(self.described(name))

    def content(self, name: str) -> Answer:
        return Answer(200, self.files[name], "content-type: application/octet-stream\r\n")

    def delete(self, name: str) -> Answer:
        del self.files[name]
        return _json({"id": name, "object": "file", "deleted": True})

    def create(self, body: dict[str, Any]) -> Answer:
        """A batch of OpenAI: a file of requests."""
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines() if line.strip()]
        rows = [(line["custom_id"], line["body"]) for line in lines]
        batch = self.begin(OPENAI, rows)
        batch.metadata = body.get("metadata")
        batch.file = body["input_file_id"]
        return _json(self.object(batch))

    def create_messages(self, body: dict[str, Any], head: bytes) -> Answer:
        """A batch of Anthropic."""
        rows = [(line["custom_id"], line["params"]) for line in body["requests"]]
        if header(head, "anthropic-version") >= NO_SAMPLING and any("temperature" in params for _, params in rows):
            return self.completer.refuse("invalid", ANTHROPIC, "temperature: Extra inputs are not permitted")
        return _json(self.object(self.begin(ANTHROPIC, rows)))

    def begin(self, provider: str, rows: list[tuple[str, Any]]) -> Batch:
        """Take in a batch. Faults are drawn now, so that one row in two batches counts as asked twice."""
        now = time.time()
        taken = []
        for key, body in rows:
            prompt = prompt_of(body)
            kind = self.completer.kind(prompt, self.completer.tallies.asked(prompt, body))
            kind = "unsupported" if self.completer.refusal(body) else kind
            taken.append((key, body, prompt, kind))
        number = len(self.known) + 1
        name = f"msgbatch_{number:06d}" if provider == ANTHROPIC else f"batch_{number:06d}"
        batch = Batch(
            name, provider, now, taken, ends=now + self.settings.batch_seconds, outcome=self.settings.batch_end
        )
        self.known[name] = batch
        return batch

    def listed(self, provider: str, after: str | None, words: dict[str, str]) -> Answer:
        """The newest batches first, a page at a time."""
        found = [batch for batch in reversed(self.known.values()) if batch.provider == provider]
        if after is not None:
            found = found[[batch.id for batch in found].index(after) + 1 :] if after in self.known else []
        page = found[: int(words.get("limit", 20))]
        ends = {"first_id": page[0].id, "last_id": page[-1].id} if page else {"first_id": None, "last_id": None}
        more = {"object": "list", "has_more": len(found) > len(page)} | ends
        return _json({"data": [self.object(batch) for batch in page]} | more)

    def batch(self, name: str) -> Answer:
        return _json(self.object(self.known[name]))

    def cancel(self, name: str) -> Answer:
        """End a batch before its time."""
        batch = self.known[name]
        if not batch.ended:
            batch.ends, batch.outcome = time.time(), "cancelled"
        return _json(self.object(batch))

    def object(self, batch: Batch) -> dict[str, Any]:
        """A batch as its provider shows it."""
        return self.message_batch(batch) if batch.provider == ANTHROPIC else self.openai_batch(batch)

    def openai_batch(self, batch: Batch) -> dict[str, Any]:
        """Counts and files are there once it has ended."""
        status = batch.outcome if batch.ended else "in_progress"
        if batch.ended and not batch.outputs and status != "failed":
            self.finish(batch)
        errors = {
            "object": "list",
            "data": [{"code": self.settings.batch_code, "message": self.settings.batch_error, "line": 1}],
        }
        done = sum(1 for row in batch.rows if not row[3]) if batch.ended and status != "failed" else 0
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": errors if status == "failed" else None,
            "input_file_id": batch.file,
            "completion_window": "24h",
            "status": status,
            "output_file_id": batch.outputs.get("output"),
            "error_file_id": batch.outputs.get("error"),
            "created_at": int(batch.made),
            "request_counts": {"total": len(batch.rows), "completed": done, "failed": 0},
            "metadata": batch.metadata,
        }

    def finish(self, batch: Batch) -> None:
        """Write the two files of an ended batch."""
        lines: dict[str, list[str]] = {"output": [], "error": []}
        for row in batch.rows:
            result = self.openai_result(batch, row)
            if result is not None:
                lines[
                    "output" if result["error"] is None and result["response"]["status_code"] == 200 else "error"
                ].append(json.dumps({"id": f"batch_req_{row[0][:8]}", "custom_id": row[0], **result}))
        # Results come in any order.
        for name, found in lines.items():
            if found:
                batch.outputs[name] = self.keep("\n".join(reversed(found)).encode() + b"\n", "batch_output")

    def openai_result(self, batch: Batch, row: tuple[str, Any, str, str]) -> dict[str, Any] | None:
        """Response and error of one row; None for a row that is left out."""
        _, body, prompt, kind = row
        if batch.outcome in ("expired", "cancelled") and not kind:
            kind = "expire" if batch.outcome == "expired" else "cancel"
        if kind in ("hang", "expire", "cancel"):
            code = "batch_cancelled" if kind == "cancel" else "batch_expired"
            return {"response": None, "error": {"code": code, "message": "This request was not executed."}}
        if kind == "left_out":
            return None
        if kind in self.settings.kinds:
            own = self.settings.kinds[kind]
            return {"response": {"status_code": own["status"], "request_id": "r", "body": own["body"]}, "error": None}
        if is_status(kind):
            status, error = failure(kind, OPENAI)
            return {"response": {"status_code": status, "request_id": "r", "body": error}, "error": None}
        self.completer.tallies.answered(prompt)
        whole = PAGE.decode() if kind == "html" else self.completer.message(kind, OPENAI, body, prompt)
        return {"response": {"status_code": 200, "request_id": "r", "body": whole}, "error": None}

    def message_batch(self, batch: Batch) -> dict[str, Any]:
        """Counts stay at `processing` until it has ended."""
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        for row in batch.rows if batch.ended else []:
            counts[self.message_result(batch, row)["type"]] += 1
        counts["processing"] = len(batch.rows) - sum(counts.values())
        made = datetime.datetime.fromtimestamp(batch.made, datetime.UTC)
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if batch.ended else "in_progress",
            "request_counts": counts,
            "created_at": made.isoformat(),
            "expires_at": (made + datetime.timedelta(days=1)).isoformat(),
            "ended_at": datetime.datetime.fromtimestamp(batch.ends, datetime.UTC).isoformat() if batch.ended else None,
            "cancel_initiated_at": None,
            "archived_at": None,
            "results_url": f"/v1/messages/batches/{batch.id}/results" if batch.ended else None,
        }

    def results(self, name: str) -> Answer:
        """One line a request, in any order."""
        batch = self.known[name]
        if not batch.ended:
            return self.completer.refuse("invalid", ANTHROPIC, "the batch has not ended")
        lines = [
            json.dumps({"custom_id": row[0], "result": self.message_result(batch, row)})
            for row in reversed(batch.rows)
            if row[3] != "left_out"
        ]
        for row in batch.rows:
            if row[0] not in batch.outputs and not row[3]:
                batch.outputs[row[0]] = ""
                self.completer.tallies.answered(row[2])
        return Answer(200, "\n".join(lines).encode() + b"\n", "content-type: application/x-jsonl\r\n")

    def message_result(self, batch: Batch, row: tuple[str, Any, str, str]) -> dict[str, Any]:
        """How one request ended."""
        _, body, prompt, kind = row
        if batch.outcome in ("expired", "cancelled") and not kind:
            kind = "expire" if batch.outcome == "expired" else "cancel"
        if kind in ("hang", "left_out"):
            kind = "expire"
        if kind in _LEFT:
            return {"type": _LEFT[kind]}
        if kind in self.settings.kinds:
            own = self.settings.kinds[kind]
            return (
                {"type": "succeeded", "message": own["body"]}
                if own["status"] == 200
                else {"type": "errored", "error": own["body"]}
            )
        if is_status(kind):
            return {"type": "errored", "error": failure(kind, ANTHROPIC)[1]}
        return {"type": "succeeded", "message": self.completer.message(kind, ANTHROPIC, body, prompt)}


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode())
