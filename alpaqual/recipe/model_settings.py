"""The settings of a model that a recipe uses: which one, where, how fast, and at what cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from alpaqual.registry import find
from alpaqual.types import Positive, StrictStruct, Text

MODEL = r"^[a-z_][a-z0-9_-]*/.+"
Seconds = Annotated[float, Meta(gt=0)]


class Price(StrictStruct, frozen=True, kw_only=True):
    """Price of a model in US dollars per million tokens."""

    input: Annotated[float, Meta(ge=0, description="Per million input tokens.")]
    output: Annotated[float, Meta(ge=0, description="Per million output tokens.")]
    cache_read: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Per million input tokens that the provider's cache gave; left out, the price of input tokens."
        ),
    ] = None
    cache_write: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Per million input tokens that the provider's cache took in for five minutes (for an hour: 1.6 times as "
            "much); left out, 1.25 times the price of input tokens."
        ),
    ] = None


class ModelSettings(StrictStruct, frozen=True, kw_only=True):
    """A model, and how requests are sent to it."""

    model: Annotated[
        Annotated[str, Meta(pattern=MODEL)] | None,
        Meta(
            description="openai/…, anthropic/…, local/PATH (safetensors or GGUF), recorded/PATH (recorded replies instead "
            "of a model), or another installed provider and its name of the model."
        ),
    ] = None
    base_url: Annotated[Text | None, Meta(description="Address of an OpenAI-compatible server.")] = None
    concurrency: Annotated[Positive, Meta(description="Maximum number of requests in flight.")] = 16
    requests_per_minute: Annotated[Positive | None, Meta(description="Maximum number of requests per minute.")] = None
    tokens_per_minute: Annotated[Positive | None, Meta(description="Maximum number of input tokens per minute.")] = None
    timeout_seconds: Annotated[
        Seconds, Meta(description="A request without a reply after this many seconds is retried.")
    ] = 60.0
    patience_seconds: Annotated[
        Seconds, Meta(description="The run stops after this many seconds without any answer from the server.")
    ] = 120.0
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        Meta(description="Sampling temperature; null sends none, for models that refuse it."),
    ] = 0.0
    max_tokens: Annotated[Positive | None, Meta(description="Maximum length of a reply, in tokens.")] = None
    token_limit: Annotated[
        Literal["max_tokens", "max_completion_tokens", "max_output_tokens"] | None,
        Meta(
            description="Name that `max_tokens` is sent under; left out, the one that the server accepts: where it refuses one, the other is tried."
        ),
    ] = None
    parameters: Annotated[
        dict[Text, Any],
        Meta(
            description="Sent with each request as they are: `reasoning_effort`, `top_p`, `thinking`, `extra_body` and others of the provider.",
            examples=[{"reasoning_effort": "low"}],
        ),
    ] = field(default_factory=dict)
    headers: Annotated[
        dict[Text, str],
        Meta(
            description="More HTTP headers of each request; keys are read from the environment, never from here.",
            examples=[{"anthropic-beta": "context-1m-2025-08-07"}],
        ),
    ] = field(default_factory=dict)
    mode: Annotated[
        Literal["online", "batch"],
        Meta(description="One request at a time, or the provider's batch API: half the price, within a day."),
    ] = "online"
    poll_seconds: Annotated[Seconds, Meta(description="Seconds between two polls of a batch.")] = 60.0
    price: Annotated[
        Price | None, Meta(description="Price of the model, where the list of prices is wrong or lacks it.")
    ] = None
    budget_usd: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="Limit in US dollars on the cost of all replies that are used, those of earlier runs included."
        ),
    ] = None

    @property
    def provider(self) -> str:
        """The provider's plug-in name; "" without a model."""
        return (self.model or "").partition("/")[0]

    @property
    def model_name(self) -> str:
        """What follows the provider in `model`: the provider's name of the model, or a path."""
        return (self.model or "").partition("/")[2]

    @property
    def plugin(self) -> Any:
        """The provider's plug-in class (`contracts.Model`). Raises MachineError where it is not installed."""
        return find("llm", self.provider)

    @property
    def answer_headers(self) -> dict[str, str]:
        """The headers that change what a model answers: those that name a beta version. They are part of the ledger's key."""
        lower = {name.lower(): value for name, value in self.headers.items()}
        return {name: value for name, value in lower.items() if name.endswith("-beta")}

    @property
    def live(self) -> bool:
        """Whether requests are sent to a model; False without a model and for recorded replies."""
        return self.model is not None and not self.plugin.RECORDED
