"""One request in, one answer out: the limits, the faults and the reply."""

from __future__ import annotations

import email.utils
import random
import time
from typing import Any

import msgspec

from .prompts import drawn, prompt_of, score_of
from .replies import ANTHROPIC, OPENAI, PAGE, Answer, failure, is_status, message, text_of
from .settings import Settings
from .tallies import Tallies

NO_SAMPLING = "2026-10-21"
"""From this version on Anthropic's API refuses a temperature."""


def has(body: Any, name: str) -> bool:
    """Whether a body has a field; a name with dots is inside of others."""
    for part in name.split("."):
        if not isinstance(body, dict) or part not in body:
            return False
        body = body[part]
    return True


class Bucket:
    """A rate with one second's worth to spare."""

    def __init__(self) -> None:
        self.left: float | None = None
        self.at = 0.0

    def take(self, amount: float, per_second: float) -> float:
        """Take `amount`; seconds to wait where there is less, and nothing is taken."""
        now = time.monotonic()
        most = max(1.0, per_second)
        self.left = most if self.left is None else min(most, self.left + (now - self.at) * per_second)
        self.at = now
        if self.left < min(amount, most):
            return (min(amount, most) - self.left) / per_second
        self.left -= amount
        return 0.0


class Completer:
    """Answers single requests, and the requests of batches."""

    def __init__(self, settings: Settings, tallies: Tallies) -> None:
        self.settings = settings
        self.tallies = tallies
        self.requests = Bucket()
        self.tokens = Bucket()
        self.random = random.Random(0)

    def answer(self, provider: str, raw: bytes, key: str, version: str = "") -> Answer:
        """The answer to a body; its `kind` says what the connection has to do to it. `version` is Anthropic's, of the API."""
        settings = self.settings
        if settings.key is not None and key != settings.key:
            return self.denied(provider, key)
        try:
            body = msgspec.json.decode(raw)
            prompt = prompt_of(body)
            model = body["model"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            return self.refuse("invalid", provider, f"no such body: {error}")
        times = self.tallies.asked(prompt, body)
        if settings.responses_only and provider == OPENAI:
            return self.refuse("not_found", provider, settings.responses_only)
        if refusal := self.refusal(body):
            return self.refuse("unsupported", provider, refusal)
        if version >= NO_SAMPLING and "temperature" in body:
            return self.refuse("invalid", provider, "temperature: Extra inputs are not permitted")
        if settings.models is not None and model not in settings.models:
            return self.refuse("not_found", provider)
        wait = self.limited(prompt)
        if wait:
            return self.refuse("throttle", provider, wait=wait)
        kind = self.kind(prompt, times)
        if kind in settings.kinds:
            return self.own(settings.kinds[kind])
        if is_status(kind):
            return self.refuse(kind, provider)
        self.tallies.answered(prompt)
        return self.reply(kind, provider, body, prompt, times)

    def refusal(self, body: Any) -> str:
        """The words that refuse a field of a body; "" where it has none that is refused."""
        return next((words for name, words in self.settings.refuses.items() if has(body, name)), "")

    def own(self, answer: dict[str, Any]) -> Answer:
        """An answer of the settings' own."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in answer.get("headers", {}).items())
        body = answer.get("body", {})
        return Answer(answer["status"], body.encode() if isinstance(body, str) else msgspec.json.encode(body), headers)

    def reply(self, kind: str, provider: str, body: dict[str, Any], prompt: str, times: int = 0) -> Answer:
        """A 200, which `kind` may have spoilt."""
        if kind == "html":
            return Answer(200, PAGE, "content-type: text/html\r\n")
        if kind == "empty_body":
            return Answer(200, b"")
        if kind == "null":
            return Answer(200, b"null")
        return Answer(200, msgspec.json.encode(self.message(kind, provider, body, prompt, times)), kind=kind)

    def message(self, kind: str, provider: str, body: dict[str, Any], prompt: str, times: int = 0) -> Any:
        """The reply as an object."""
        settings = self.settings
        text = "" if kind == "empty" else text_of(kind, body, score_of(prompt), settings, times)
        read = len(prompt) // 4 + 1 if settings.input_tokens is None else settings.input_tokens
        written = self.written(text, prompt)
        self.tallies.billed(read, written)
        whole = message(provider, text, (read, written), body, settings)
        if kind == "no_choice":
            whole.pop("content" if provider == ANTHROPIC else "choices")
        return whole

    def written(self, text: str, prompt: str) -> int:
        """Tokens of a reply."""
        tokens = self.settings.output_tokens
        if isinstance(tokens, list):
            return tokens[0] + int(drawn(self.settings.seed, 0, prompt) * (tokens[1] - tokens[0] + 1))
        return len(text) // 4 + 1 if tokens is None else tokens

    def kind(self, prompt: str, times: int) -> str:
        """The fault that a prompt gets when it was asked `times` times before; "" for none."""
        settings = self.settings
        if settings.all:
            return settings.all
        if settings.after and sum(self.tallies.answers.values()) >= settings.after[0]:
            return str(settings.after[1])
        for text, fault in settings.rows.items():
            if text in prompt:
                if isinstance(fault, str):
                    return fault
                if times < fault[1]:
                    return str(fault[0])
        if settings.faults:
            at = drawn(settings.seed, times, prompt)
            for kind, share in settings.faults.items():
                at -= share
                if at < 0:
                    return kind
        return ""

    def limited(self, prompt: str) -> float:
        """Seconds to wait where a rate limit is passed."""
        settings = self.settings
        wait = 0.0
        if settings.requests_per_second:
            wait = self.requests.take(1, settings.requests_per_second)
        if settings.tokens_per_second and not wait:
            wait = self.tokens.take(len(prompt) / 4 + 1, settings.tokens_per_second)
        return wait

    def denied(self, provider: str, key: str) -> Answer:
        """The answer to a wrong key."""
        words = f"Incorrect API key provided: {key}" if self.settings.echo_key else ""
        return self.refuse("unauthorized", provider, words)

    def refuse(self, kind: str, provider: str, words: str = "", wait: float | None = None) -> Answer:
        """An answer that is an error."""
        status, body = failure(kind, provider, words or self.settings.words)
        headers = self.retry_after(self.settings.retry_after if wait is None else wait) if kind == "throttle" else ""
        return Answer(status, msgspec.json.encode(body), headers)

    def retry_after(self, seconds: float) -> str:
        """The header that asks to wait, in the form that the settings say."""
        form = self.settings.retry_after_as
        if form == "ms":
            return f"retry-after-ms: {seconds * 1000:.0f}\r\n"
        if form == "date":
            return f"retry-after: {email.utils.formatdate(time.time() + seconds, usegmt=True)}\r\n"
        if form.startswith("said: "):
            return f"retry-after: {form[6:]}\r\n"
        return f"retry-after: {seconds:g}\r\n"

    def delay(self, kind: str) -> float:
        """Seconds until the answer goes out."""
        settings = self.settings
        if kind == "slow":
            return settings.slow_ms / 1000
        jitter = self.random.uniform(-1, 1) * settings.jitter_ms if settings.jitter_ms else 0.0
        return max(0.0, settings.latency_ms + jitter) / 1000
