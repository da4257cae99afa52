"""How the server behaves: set at its start, and at any time by `POST /_/settings`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

KINDS = (
    "throttle",  # 429 with Retry-After
    "throttle_bare",  # 429 without
    "error",  # 500
    "unavailable",  # 503
    "overloaded",  # 503 by OpenAI's paths, 529 by Anthropic's
    "timeout_status",  # 408
    "reset",  # the connection is reset in the middle of the reply
    "drop",  # the connection is closed before the reply
    "hang",  # never answers
    "slow",  # answers after `slow_ms`
    "truncated",  # half of the JSON, as if it were all
    "html",  # 200 with a page
    "empty_body",  # 200 with nothing
    "null",  # 200 with the JSON null
    "no_choice",  # 200 without a choice or content
    "empty",  # a reply without text
    "prose",  # a reply without a number
    "refusal",  # a reply that refuses
    "context_length",  # 400: too many tokens
    "too_large",  # 413
    "content_filter",  # 400: content policy
    "unsupported",  # 400: an unsupported parameter
    "invalid",  # 400, with words that say nothing of whose fault it is
    "quota",  # 429 that means: no money
    "payment",  # 402
    "unauthorized",  # 401
    "forbidden",  # 403
    "not_found",  # 404
    "expire",  # in batches: expired; elsewhere as `hang`
    "cancel",  # in batches: cancelled; elsewhere as `drop`
    "left_out",  # in batches: in no result; elsewhere as `hang`
)


@dataclass
class Settings:
    """Times in milliseconds or seconds as their names say; faults are kinds of `KINDS`.

    Which fault a request gets: `all`, else the first of `rows` whose text its prompt contains, else by `faults`; the last are
    drawn from `seed`, prompt and how often this prompt was asked before, so they do not depend on order or time.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    slow_ms: float = 1000.0
    seed: int = 0
    faults: dict[str, float] = field(default_factory=dict)
    """Shares of requests by kind: {"error": 0.01, "throttle": 0.05}."""
    rows: dict[str, Any] = field(default_factory=dict)
    """What happens to prompts that contain a text: {"row 7": "hang", "row 8": ["error", 2]}, the latter for the first two times."""
    all: str | None = None
    """One kind for every request."""
    retry_after: float = 1.0
    retry_after_as: str = "seconds"
    """`seconds`, `ms` (the header retry-after-ms), `date`, or `said: …` for any other text."""
    kinds: dict[str, Any] = field(default_factory=dict)
    """Answers of one's own, for `all`, `rows` and `faults`: {"budget": {"status": 400, "body": {…}, "headers": {…}}}."""
    after: list[Any] = field(default_factory=list)
    """A kind for every request after a number of replies: [20, "budget"]."""
    words: str = ""
    """What errors say, in place of the usual."""
    reply: str = "{score}\nBecause that is what this row deserves."
    """{score} is 0 to 5 by 0.5, from a hash of the prompt; {times} is how often the prompt was asked before. Where a schema is asked
    for, the reply is JSON."""
    judge: str = ""
    """How prompts that show two answers are replied to, in place of `reply`: see `judging.verdict`."""
    input_tokens: int | None = None
    """None counts four characters a token."""
    output_tokens: int | list[int] | None = None
    """[least, most]: a number between them, from a hash of the prompt."""
    usage: bool = True
    usage_more: dict[str, Any] = field(default_factory=dict)
    """More of the usage, such as the tokens of a cache."""
    answers_as: str | None = None
    """The model id of replies; None is what was asked for."""
    key: str | None = None
    """Any other key gets 401."""
    echo_key: bool = False
    """The 401 quotes the key, as some proxies do."""
    models: list[str] | None = None
    """Any other model gets 404."""
    refuses: dict[str, str] = field(default_factory=dict)
    """Fields of a body that get 400, and the words of the refusal: {"temperature": "…"}; a name with dots is inside of others."""
    responses_only: str = ""
    """The words of the 404 that chat completions get: the model has only the Responses API."""
    logprobs: bool = True
    """Whether replies have the log-probabilities that a body asks for: of the first digit of a number 0.75, of the next one 0.25."""
    requests_per_second: float | None = None
    tokens_per_second: float | None = None
    """More (than one second's worth at once) get 429."""
    down: float = 0.0
    """Seconds from now on in which every connection is closed."""
    refuse: bool = False
    """While down, do not even accept connections (nor settings)."""
    record: bool = False
    """Keep bodies, for `stats` and `asked`."""
    batch_seconds: float = 0.0
    batch_end: str = "completed"
    """How batches end: completed, expired, cancelled or failed."""
    batch_error: str = "the input file has a line that cannot be read"
    batch_code: str = "invalid"
    """Why a batch failed."""
    paths: dict[str, Any] = field(default_factory=dict)
    """Faults of calls: {"POST /v1/batches": ["reset", 1]}, the first time. What is reset, dropped, slow or hangs is done all the same."""

    def update(self, changes: dict[str, Any]) -> None:
        """Take in what `changes` names. Raises ValueError for a name or a kind that is none."""
        known = {entry.name for entry in dataclasses.fields(self)}
        kinds = [*changes.get("faults", {}), *([changes["all"]] if changes.get("all") else [])]
        for table in ("rows", "paths"):
            kinds += [kind if isinstance(kind, str) else kind[0] for kind in changes.get(table, {}).values()]
        kinds += changes.get("after", [])[1:]
        own = changes.get("kinds", self.kinds)
        wrong = [name for name in changes if name not in known]
        wrong += [kind for kind in kinds if kind not in KINDS and kind not in own]
        if wrong:
            raise ValueError(f"no such setting or kind: {', '.join(map(str, wrong))}")
        for name, value in changes.items():
            setattr(self, name, value)
