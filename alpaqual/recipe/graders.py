"""The words of a grader."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field
from msgspec.structs import force_setattr

from alpaqual.types import Count, Name, Percent, Positive, Rate, StrictStruct, Text

Share = Rate | Percent


class Scale(StrictStruct, frozen=True, kw_only=True):
    """The scores a grader may give."""

    min: Annotated[float, Meta(description="Lowest score.")] = 0
    max: Annotated[float, Meta(description="Highest score.")] = 5
    step: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Distance between scores; any score in between where left out."),
    ] = None


class _Usual(Scale, frozen=True, kw_only=True):
    """The scale of a grader that names none."""


USUAL_SCALES = {"model": (0.0, 5.0), "ifd": (0.0, 10.0), "length": (0.0, 1_000_000.0)}
"""Ends of the scale of each kind of grader where the recipe names none."""


class Price(StrictStruct, frozen=True, kw_only=True):
    """What a model costs, in US dollars for a million tokens."""

    input: Annotated[float, Meta(ge=0, description="For a million input tokens.")]
    output: Annotated[float, Meta(ge=0, description="For a million output tokens.")]


class Example(StrictStruct, frozen=True, kw_only=True):
    """A row and the score it should get, shown to the model before each question."""

    instruction: Annotated[Text, Meta(description="Its instruction.")]
    input: Annotated[str, Meta(description="Its input.")] = ""
    response: Annotated[str, Meta(description="Its response.")]
    score: Annotated[float, Meta(description="The score it should get.")]
    rationale: Annotated[str, Meta(description="Why; shown where the grader keeps rationales.")] = ""


class ShareLimits(StrictStruct, frozen=True, kw_only=True):
    """A share that warns and a share that fails when it is passed."""

    warn: Annotated[Share | None, Meta(description="More than this share warns.", examples=["60%"])] = None
    fail: Annotated[Share | None, Meta(description="More than this share fails.", examples=["90%"])] = None


class HighLimits(StrictStruct, frozen=True, kw_only=True):
    """A correlation that warns and one that fails when it is passed, whatever its sign."""

    warn: Annotated[Rate | None, Meta(description="A stronger correlation warns.")] = None
    fail: Annotated[Rate | None, Meta(description="A stronger correlation fails.")] = None


class LowLimits(StrictStruct, frozen=True, kw_only=True):
    """An agreement that warns and one that fails when it is not reached."""

    warn: Annotated[Annotated[float, Meta(ge=-1, le=1)] | None, Meta(description="Less than this warns.")] = None
    fail: Annotated[Annotated[float, Meta(ge=-1, le=1)] | None, Meta(description="Less than this fails.")] = None


class Repeats(ShareLimits, frozen=True, kw_only=True):
    """Rows that are asked about twice; limits are on the share whose second score is another."""

    rows: Annotated[Positive, Meta(description="So many rows, the same ones each time.")] = 50


class Golden(ShareLimits, frozen=True, kw_only=True):
    """Rows whose score is known; limits are on the share that the grader scores otherwise, or not at all."""

    file: Annotated[
        Text,
        Meta(description="json, jsonl, csv or parquet with instruction, input, response and score, beside the recipe."),
    ]
    within: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="A score this close to the known one is right.")
    ] = 0.5


class Agreement(StrictStruct, frozen=True, kw_only=True):
    """How well the scores agree with another grader's: Spearman's rank correlation, and quadratic weighted kappa."""

    with_: Annotated[Name, Meta(description="The other grader; kappa needs the same scale, with steps.")] = field(
        name="with"
    )
    spearman: Annotated[LowLimits, Meta(description="Limits of Spearman's rank correlation.")] = field(
        default_factory=LowLimits
    )
    kappa: Annotated[LowLimits, Meta(description="Limits of quadratic weighted kappa.")] = field(
        default_factory=LowLimits
    )


class Health(StrictStruct, frozen=True, kw_only=True):
    """What would show that a grader has drifted. Each is reported; limits say what warns and what fails."""

    most_frequent: Annotated[ShareLimits | None, Meta(description="Share of the score that is given most often.")] = (
        None
    )
    length: Annotated[
        HighLimits | None, Meta(description="Spearman's correlation of the score with the length of the response.")
    ] = None
    repeats: Annotated[Repeats | None, Meta(description="The same question twice.")] = None
    golden: Annotated[Golden | None, Meta(description="Rows whose score is known.")] = None
    agreement: Annotated[Agreement | None, Meta(description="Another grader's scores of the same rows.")] = None


class Cascade(StrictStruct, frozen=True, kw_only=True):
    """A cheaper grader goes first; this one is asked only about rows whose score lies near the threshold."""

    first: Annotated[Name, Meta(description="The cheaper grader, of the same scale.")]
    threshold: Annotated[float, Meta(description="The score that decides.")]
    band: Annotated[
        Annotated[float, Meta(ge=0)],
        Meta(description="Rows whose first score is at most this far from the threshold are asked about again."),
    ]


class Grader(StrictStruct, frozen=True, kw_only=True):
    """Gives each row a score on one dimension within a scale, or no score and a reason.

    Names one of `model`, `column`, `table` and `of`, or is of the kind `length`.
    """

    model: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z_]+/.+")] | None,
        Meta(
            description="openai/…, anthropic/…, local/PATH (safetensors or GGUF), or recorded/PATH: recorded replies "
            "instead of a model."
        ),
    ] = None
    column: Annotated[Text | None, Meta(description="A score that the source already has.")] = None
    table: Annotated[
        Text | None, Meta(description="A csv, json, jsonl or parquet file of scores, relative to the recipe.")
    ] = None
    of: Annotated[
        Annotated[list[Name], Meta(min_length=2)] | None, Meta(description="Graders whose scores are combined.")
    ] = None
    combine: Annotated[
        Literal["mean", "median", "min", "agreement"] | None,
        Meta(
            description="How scores are combined; `agreement`: their mean where they lie `within`, no score elsewhere."
        ),
    ] = None
    within: Annotated[Annotated[float, Meta(ge=0)], Meta(description="How far scores that agree may lie apart.")] = 0.5
    kind: Annotated[
        Literal["model", "ifd", "length"],
        Meta(
            description="`model` is asked for a score; `ifd`: instruction-following difficulty, from a local model's "
            "perplexities; `length`: characters of the response."
        ),
    ] = "model"
    key: Annotated[
        Text,
        Meta(description="Column of the table that holds row ids, or a column of the source with the same values."),
    ] = "id"
    score: Annotated[Text, Meta(description="Column of the table that holds the score.")] = "score"
    dimension: Annotated[Text, Meta(description="What is rated: accuracy, helpfulness, …")] = "accuracy"
    scale: Annotated[
        Scale, Meta(description="The scores the grader may give; 0 to 5 where left out, 0 to 10 for ifd.")
    ] = field(default_factory=_Usual)
    prompt: Annotated[
        Text | None,
        Meta(description="A prompt template in place of the paper's (Figure 4), relative to the recipe."),
    ] = None
    examples: Annotated[list[Example], Meta(description="Rows with their scores, shown before each question.")] = field(
        default_factory=list
    )
    structured: Annotated[
        bool, Meta(description="Ask the server for JSON that holds the score; not every server can.")
    ] = False
    scoring: Annotated[
        Literal["generation", "expectation"],
        Meta(description="A local model writes its score, or gives the expectation over all scores of the scale."),
    ] = "generation"
    base_url: Annotated[Text | None, Meta(description="An OpenAI-compatible server.")] = None
    concurrency: Annotated[Positive, Meta(description="Requests in flight at once, at most.")] = 16
    requests_per_minute: Annotated[Positive | None, Meta(description="Requests sent in a minute at most.")] = None
    tokens_per_minute: Annotated[Positive | None, Meta(description="Tokens sent in a minute at most.")] = None
    timeout_seconds: Annotated[
        Annotated[float, Meta(gt=0)], Meta(description="A request without a reply by then is sent again.")
    ] = 60.0
    patience_seconds: Annotated[
        Annotated[float, Meta(gt=0)], Meta(description="Stop when the server has answered nothing for so long.")
    ] = 120.0
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        Meta(description="Sampling temperature; null sends none, for models that refuse it."),
    ] = 0.0
    max_tokens: Annotated[
        Positive | None,
        Meta(description="Longest reply, in tokens: 16 where left out, 512 with keep_rationale."),
    ] = None
    mode: Annotated[
        Literal["online", "batch"],
        Meta(description="One request at a time, or the provider's batch API: half the price, within a day."),
    ] = "online"
    poll_seconds: Annotated[Annotated[float, Meta(gt=0)], Meta(description="How often a batch is looked after.")] = 60.0
    price: Annotated[
        Price | None, Meta(description="What the model costs, where the list of prices is wrong or has none.")
    ] = None
    budget_usd: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="The grader's replies may cost this much in all, those of earlier runs included."),
    ] = None
    keep_rationale: Annotated[bool, Meta(description="Ask for the explanation after the score and keep it.")] = False
    pilot: Annotated[
        Count,
        Meta(
            description="So many rows first: where none of them gets a score, or `health` fails, the rest is not asked."
        ),
    ] = 50
    health: Annotated[Health, Meta(description="What would show that the grader has drifted.")] = field(
        default_factory=Health
    )
    cascade: Annotated[Cascade | None, Meta(description="A cheaper grader that goes first.")] = None

    def __post_init__(self) -> None:
        if type(self.scale) is _Usual:
            low, high = USUAL_SCALES[self.kind]
            force_setattr(self, "scale", Scale(min=low, max=high))

    @property
    def scale_of_thresholds(self) -> Scale:
        """The scale without steps where a score may lie between them: an expectation, or scores combined."""
        step = self.scale.step
        if self.scoring == "expectation":
            step = None
        elif step is not None and self.of is not None and self.combine != "min":
            step /= len(self.of)
        return Scale(min=self.scale.min, max=self.scale.max, step=step)

    @property
    def asks(self) -> bool:
        """Whether its scores come from a model's replies."""
        return self.model is not None

    @property
    def live(self) -> bool:
        """Whether a model has to be there to answer."""
        return self.model is not None and not self.model.startswith("recorded/")
