"""What the server has seen."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from .settings import Settings


class Tallies:
    """Counts over all requests but those to `/_/`. Prompts are identified by a hash, and kept only while `record` is on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget everything but what is in flight."""
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self.paths: Counter[str] = Counter()
        self.in_flight = getattr(self, "in_flight", 0)
        self.most_in_flight = self.in_flight
        self.first = self.last = 0.0
        self.times: dict[int, int] = {}
        self.answers: dict[int, int] = {}
        self.answered_again = 0
        self.input_tokens = self.output_tokens = 0
        self.texts: Counter[str] = Counter()
        self.bodies: list[Any] = []
        self.headers: list[str] = []

    def came(self, path: str) -> None:
        """A request is here."""
        now = time.time()
        self.requests += 1
        self.paths[path] += 1
        self.first = self.first or now
        self.last = now
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def went(self, status: int) -> None:
        """A request is over; status 0 is a connection that ended without an answer."""
        self.in_flight -= 1
        self.statuses[status] += 1
        self.last = time.time()

    def asked(self, prompt: str, body: Any) -> int:
        """How often this prompt was asked before."""
        known = hash(prompt)
        before = self.times.get(known, 0)
        self.times[known] = before + 1
        if self.settings.record:
            self.texts[prompt] += 1
            self.bodies.append(body)
        return before

    def answered(self, prompt: str) -> None:
        """A prompt got a reply that costs money."""
        known = hash(prompt)
        before = self.answers.get(known, 0)
        self.answers[known] = before + 1
        self.answered_again += before > 0

    def billed(self, read: int, written: int) -> None:
        """A model read and wrote tokens, whatever became of its reply."""
        self.input_tokens += read
        self.output_tokens += written

    def facts(self) -> dict[str, Any]:
        """All of it, for `GET /_/stats`."""
        return {
            "requests": self.requests,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "paths": dict(self.paths),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "first": self.first,
            "last": self.last,
            "prompts": sum(self.times.values()),
            "distinct": len(self.times),
            "most_of_one": max(self.times.values(), default=0),
            "answered": sum(self.answers.values()),
            "answered_again": self.answered_again,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "bodies": self.bodies,
            "headers": self.headers,
        }
