"""The keys of a grader."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal

from msgspec import Meta, field
from msgspec.structs import force_setattr

from alpaqual.errors import MachineError
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.registry import find
from alpaqual.types import Count, Name, Percent, Positive, Rate, StrictStruct, Text

Share = Rate | Percent


class Scale(StrictStruct, frozen=True, kw_only=True):
    """The possible scores of a grader."""

    min: Annotated[float, Meta(description="Lowest score.")] = 0
    max: Annotated[float, Meta(description="Highest score.")] = 5
    step: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Distance between two scores; left out, every number on the scale is a score."),
    ] = None


class _DefaultScale(Scale, frozen=True, kw_only=True):
    """The scale of a grader that names none."""


class Example(StrictStruct, frozen=True, kw_only=True):
    """A row and its right score, shown to the model before each question."""

    instruction: Annotated[Text, Meta(description="Its instruction.")]
    input: Annotated[str, Meta(description="Its input.")] = ""
    response: Annotated[str, Meta(description="Its response.")]
    score: Annotated[
        float | None, Meta(description="Its right score; a grader with `scores` has `scores` in its place.")
    ] = None
    scores: Annotated[dict[Name, float], Meta(description="Its right score under each of several scores.")] = field(
        default_factory=dict
    )
    columns: Annotated[
        dict[Text, str],
        Meta(description="What the slots `[column:…]` and `[score:…]` of the prompt show for it, by column or grader."),
    ] = field(default_factory=dict)
    rationale: Annotated[
        str, Meta(description="The reason for the score; shown where the grader keeps rationales.")
    ] = ""


class ShareLimits(StrictStruct, frozen=True, kw_only=True):
    """A share above which the run warns, and one above which it fails."""

    warn: Annotated[Share | None, Meta(description="A larger share warns.", examples=["60%"])] = None
    fail: Annotated[Share | None, Meta(description="A larger share fails.", examples=["90%"])] = None


class HighLimits(StrictStruct, frozen=True, kw_only=True):
    """A correlation, of either sign, above which the run warns, and one above which it fails."""

    warn: Annotated[Rate | None, Meta(description="A stronger correlation warns.")] = None
    fail: Annotated[Rate | None, Meta(description="A stronger correlation fails.")] = None


class LowLimits(StrictStruct, frozen=True, kw_only=True):
    """An agreement below which the run warns, and one below which it fails."""

    warn: Annotated[Annotated[float, Meta(ge=-1, le=1)] | None, Meta(description="A lower value warns.")] = None
    fail: Annotated[Annotated[float, Meta(ge=-1, le=1)] | None, Meta(description="A lower value fails.")] = None


class Repeats(ShareLimits, frozen=True, kw_only=True):
    """Rows that are graded twice; the limits are on the share whose second score differs."""

    rows: Annotated[
        Positive, Meta(description="Number of rows sampled for the repeat check; the sample is the same on each run.")
    ] = 50


class Golden(ShareLimits, frozen=True, kw_only=True):
    """Rows whose score is known; the limits are on the share that gets another score, or none."""

    file: Annotated[
        Text,
        Meta(description="json, jsonl, csv or parquet with instruction, input, response and score, beside the recipe."),
    ]
    within: Annotated[
        Annotated[float, Meta(ge=0)], Meta(description="Largest difference from the known score that counts as right.")
    ] = 0.5


class Agreement(StrictStruct, frozen=True, kw_only=True):
    """Agreement with another grader: Spearman's rank correlation and quadratic weighted kappa."""

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
    """Checks that show whether a grader has drifted. Each is reported; limits say what warns and what fails."""

    most_frequent: Annotated[ShareLimits | None, Meta(description="Share of the most frequent score.")] = None
    length: Annotated[
        HighLimits | None, Meta(description="Spearman's correlation of the score with the length of the response.")
    ] = None
    repeats: Annotated[Repeats | None, Meta(description="The same request sent twice.")] = None
    golden: Annotated[Golden | None, Meta(description="Rows whose score is known.")] = None
    agreement: Annotated[Agreement | None, Meta(description="Another grader's scores of the same rows.")] = None


class Calibrate(StrictStruct, frozen=True, kw_only=True):
    """People's scores of rows, which the grader's scores are mapped to: higher scores stay at least as high."""

    file: Annotated[
        Text,
        Meta(
            description="json, jsonl, csv or parquet with instruction, input, response and score (of people, on the grader's "
            "scale), beside the recipe; 10 rows at least."
        ),
    ]


Levels = Annotated[
    dict[Text, Text], Meta(description="Score of the scale -> what it means, as the model reads it.", min_length=1)
]


class ScorePart(StrictStruct, frozen=True, kw_only=True):
    """One of several scores that a grader asks for at once; its name is its dimension."""

    scale: Annotated[Scale, Meta(description="The possible scores; left out, 0 to 5.")] = field(default_factory=Scale)
    levels: Annotated[Levels | None, Meta(description="What scores of the scale mean.")] = None
    health: Annotated[
        Health,
        Meta(
            description="Checks of this score, in place of the grader's own; `golden` and `repeats` are the grader's."
        ),
    ] = field(default_factory=Health)


class Cascade(StrictStruct, frozen=True, kw_only=True):
    """A cheaper grader goes first; this one grades only rows whose first score is near the threshold."""

    first: Annotated[Name, Meta(description="The cheaper grader, of the same scale.")]
    threshold: Annotated[float, Meta(description="The score that decides.")]
    band: Annotated[
        Annotated[float, Meta(ge=0)],
        Meta(description="Rows whose first score is at most this far from the threshold are graded again."),
    ]


class Grader(ModelSettings, frozen=True, kw_only=True):
    """Gives each row a score on one dimension within a scale, or no score and a reason.

    Its score comes from one of `model`, `column`, `table` and `of`, or from the `kind` alone.
    """

    column: Annotated[Text | None, Meta(description="A score that the source already has.")] = None
    table: Annotated[
        Text | None, Meta(description="A csv, json, jsonl or parquet file of scores, relative to the recipe.")
    ] = None
    of: Annotated[
        Annotated[list[Name], Meta(min_length=2)] | None, Meta(description="Graders whose scores are combined.")
    ] = None
    each: Annotated[
        Literal["turn"] | None,
        Meta(
            description="`turn`: each assistant turn with a weight above 0 is scored by a request of its own; `combine` (`min`, "
            "`mean` or `last`) makes the row's score of them. Left out, a row has one request."
        ),
    ] = None
    combine: Annotated[
        Literal["mean", "median", "min", "agreement", "last"] | None,
        Meta(
            description="How the scores of graders, or of turns, are combined; `agreement`: the mean of scores that differ by at "
            "most `within`, else no score. Of turns: `min` where left out."
        ),
    ] = None
    within: Annotated[Annotated[float, Meta(ge=0)], Meta(description="Largest difference of scores that agree.")] = 0.5
    kind: Annotated[
        Name,
        Meta(
            description="`model` asks the model for a score; `ifd`: instruction-following difficulty, from a local model's "
            "perplexities; `length`: characters of the response; or another installed kind."
        ),
    ] = "model"
    key: Annotated[
        Text,
        Meta(
            description="Name of a column of the table and of the data, by whose values they are joined; `id`: the data's own id, or "
            "the row's id where the data has none; `row.id`: the row's id (in the table `row.id`, `row_id` or `id`)."
        ),
    ] = "id"
    score: Annotated[Text, Meta(description="Column of the table that holds the score.")] = "score"
    dimension: Annotated[Text, Meta(description="What is rated: accuracy, helpfulness, …")] = "accuracy"
    scale: Annotated[
        Scale,
        Meta(
            description="The possible scores; left out, those of the kind: 0 to 5, 0 to 10 for ifd, 0 to 1,000,000 for length."
        ),
    ] = field(default_factory=_DefaultScale)
    levels: Annotated[
        Levels | None,
        Meta(description="What scores of the scale mean, described to the model: `{5: every claim is right}`."),
    ] = None
    scores: Annotated[
        Annotated[dict[Name, ScorePart], Meta(min_length=1)] | None,
        Meta(
            description="Several scores from one reply in JSON, in place of `scale`: name -> `scale`, `levels`. Each is a grader "
            "`<grader>.<name>` wherever a recipe names a grader."
        ),
    ] = None
    samples: Annotated[
        Annotated[int, Meta(ge=1, le=20)],
        Meta(
            description="Number of requests about a row; its score is their mean, its spread the largest less the lowest. Needs a "
            "temperature above 0 to differ."
        ),
    ] = 1
    fence: Annotated[
        bool,
        Meta(description="Put the texts of a row between marks that do not occur in them, and say so to the model."),
    ] = False
    prompt: Annotated[
        Text | None,
        Meta(description="A prompt template in place of the paper's (Figure 4), relative to the recipe."),
    ] = None
    examples: Annotated[list[Example], Meta(description="Rows with their scores, shown before each question.")] = field(
        default_factory=list
    )
    structured: Annotated[
        bool | None,
        Meta(
            description="Request JSON that holds the score by a JSON Schema; not every server supports it. Left out: with `scores`, "
            "where the provider can."
        ),
    ] = None
    scoring: Annotated[
        Literal["generation", "expectation"],
        Meta(description="A local model writes its score, or gives the expectation over all scores of the scale."),
    ] = "generation"
    max_tokens: Annotated[
        Positive | None,
        Meta(description="Maximum length of a reply, in tokens: 16 where left out, 512 with keep_rationale."),
    ] = None
    reply: Annotated[
        Text,
        Meta(
            description="Where a reply has its score: `first_line`, `last_line`, `json`, or a regular expression (RE2) with one "
            "group around the score, tried on each line."
        ),
    ] = "first_line"
    cache: Annotated[
        bool,
        Meta(
            description="Order the prompt for the provider's cache: what is the same for every row comes first, and is marked for "
            "Anthropic. The prompt differs, so rows are graded anew."
        ),
    ] = False
    keep_rationale: Annotated[bool, Meta(description="Ask for the explanation after the score and keep it.")] = False
    pilot: Annotated[
        Count,
        Meta(
            description="Number of rows graded first; if none of them gets a score, or `health` fails, the run stops there."
        ),
    ] = 50
    health: Annotated[Health, Meta(description="Checks that show whether the grader has drifted.")] = field(
        default_factory=Health
    )
    cascade: Annotated[Cascade | None, Meta(description="A cheaper grader that goes first.")] = None
    calibrate: Annotated[
        Calibrate | None,
        Meta(
            description="Map the scores to people's, by isotonic regression; thresholds then apply to the mapped score, and the table "
            "of grades keeps the grader's own as `raw`."
        ),
    ] = None

    def __post_init__(self) -> None:
        if type(self.scale) is _DefaultScale:
            with contextlib.suppress(MachineError):
                # A kind that is not installed is a problem that `crosscheck_graders` reports.
                low, high = self.kind_plugin.SCALE
                force_setattr(self, "scale", Scale(min=low, max=high))
        if self.scores:
            # What all scores have in common, for messages and reports: each is on a scale of its own.
            scales = [part.scale for part in self.scores.values()]
            low, high = min(scale.min for scale in scales), max(scale.max for scale in scales)
            step = scales[0].step if all(scale == scales[0] for scale in scales) else None
            force_setattr(self, "scale", Scale(min=low, max=high, step=step))
            force_setattr(self, "dimension", ", ".join(self.scores))

    @property
    def of_turns(self) -> str | None:
        """How the scores of turns are combined; None where a row has one request."""
        return None if self.each is None else self.combine or "min"

    @property
    def follows_schema(self) -> bool:
        """Whether a JSON Schema is sent with each request."""
        if self.structured is not None:
            return self.structured
        if self.scores is None or self.model is None:
            return False
        return bool(self.plugin.STRUCTURED or self.plugin.RECORDED)

    @property
    def kind_plugin(self) -> Any:
        """The plug-in class of the kind (`contracts.Grader`). Raises MachineError where it is not installed."""
        return find("graders", self.kind)

    @property
    def expression(self) -> str | None:
        """SQL that computes the score from a row's columns, for kinds that need no model."""
        found: str | None = self.kind_plugin.EXPRESSION
        return found

    @property
    def scale_of_thresholds(self) -> Scale:
        """The scale without steps where scores are not multiples of it: an expectation, combined or calibrated scores."""
        step = self.scale.step
        between = self.scoring == "expectation" or self.of_turns == "mean"
        if between or self.samples > 1 or self.calibrate is not None:
            step = None
        elif step is not None and self.of is not None and self.combine != "min":
            step /= len(self.of)
        return Scale(min=self.scale.min, max=self.scale.max, step=step)
