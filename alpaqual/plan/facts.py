"""What each kind of stage leaves in the seal of its result: counts, by the names of the plan's `Facts` statements."""

from __future__ import annotations

from typing import TypeVar

import msgspec

F = TypeVar("F", bound="StageFacts")


class StageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one stage; a fact without a default is always there."""


class SourceRows(msgspec.Struct, frozen=True):
    """Rows of one source."""

    source: str
    rows: int


class ReasonRows(msgspec.Struct, frozen=True):
    """Rows that share a reason."""

    reason: str
    rows: int


class QuarantinedRow(msgspec.Struct, frozen=True):
    """One row in quarantine, by its position in its source."""

    source: str
    position: int
    reason: str


class LoadFacts(StageFacts, frozen=True, kw_only=True):
    """Of `loading`."""

    source_rows: tuple[SourceRows, ...]
    quarantined: tuple[SourceRows, ...]
    incomplete: tuple[ReasonRows, ...]
    quarantine_examples: tuple[QuarantinedRow, ...]


class RuleRows(msgspec.Struct, frozen=True):
    """Failing rows of one rule."""

    rule: str
    rows: int


class CheckFacts(StageFacts, frozen=True, kw_only=True):
    """Of `checking`; rules without failing rows are left out."""

    failing: tuple[RuleRows, ...]


class CategoryRows(msgspec.Struct, frozen=True):
    """Rows of one category."""

    category: str
    rows: int


class KeywordRows(msgspec.Struct, frozen=True):
    """Rows that hold the keyword at a position of a category's list."""

    category: str
    keyword: int
    rows: int


class CategoryFacts(StageFacts, frozen=True, kw_only=True):
    """Of `categorising`; categories without rows are left out."""

    category_rows: tuple[CategoryRows, ...]
    keywords: tuple[KeywordRows, ...] = ()


class ScoreRows(msgspec.Struct, frozen=True):
    """Rows of one score, or of one bin of a scale without steps."""

    score: float
    rows: int


class Count(msgspec.Struct, frozen=True):
    """A number of rows."""

    rows: int


class KnownLevel(msgspec.Struct, frozen=True):
    """Rows of one known score: how many, how many the grader scored, and its mean score and mean error of those."""

    level: float
    rows: int
    scored: int
    mean: float | None
    bias: float | None


class KnownPair(msgspec.Struct, frozen=True):
    """Rows by their known score and the grader's."""

    known: float
    score: float
    rows: int


class GoldenFacts(msgspec.Struct, frozen=True):
    """Rows with a known score: how many, how many were scored, how many wrongly or not at all; and how the scores compare."""

    rows: int
    scored: int
    wrong: int
    mean_error: float | None
    spearman: float | None = None
    kappa: float | None = None
    bias: float | None = None
    levels: tuple[KnownLevel, ...] = ()
    confusion: tuple[KnownPair, ...] = ()
    left_out: int = 0
    """Rows of the file that are not in the data, where a grader sends no requests; they are not among `rows`."""


class RepeatFacts(msgspec.Struct, frozen=True):
    """Rows graded twice: how many, how many have two scores, how many of those differ."""

    rows: int
    compared: int
    different: int


class SpreadFacts(msgspec.Struct, frozen=True):
    """How far the samples of a row are apart: over how many rows, on average, at most, and in how many they differ."""

    rows: int
    mean: float | None
    largest: float | None
    differing: int


class ReplyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one grader: calls, tokens, US dollars, seconds, and the rows without an answer (`again`).

    `lost_usd` of the cost is for requests that gave no reply. `priced` is False where no price is known. `unsent` are settings of
    the recipe that the server refused and that were left out.
    """

    calls_made: int
    calls_reused: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    bought_usd: float
    faults: int
    seconds: float
    models: tuple[str, ...]
    again: int
    again_digest: str
    lost_usd: float = 0.0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_saved_usd: float = 0.0
    priced: bool = True
    golden: GoldenFacts | None = None
    repeats: RepeatFacts | None = None
    unsent: tuple[str, ...] = ()
    score_golden: dict[str, GoldenFacts] = {}
    """By name, of a grader that asks for several scores."""
    score_repeats: dict[str, RepeatFacts] = {}
    """The same."""


class MapKnot(msgspec.Struct, frozen=True):
    """A knot of a calibration's map: the raw score, and what it becomes."""

    raw: float
    score: float


class RawLevel(msgspec.Struct, frozen=True):
    """Rows of people's file at one level of the raw scores, and the mean of people's scores."""

    raw: float
    rows: int
    mean: float


class CalibrationFacts(msgspec.Struct, frozen=True):
    """The map from raw scores to people's, and the mean errors before it, after it, and of rows that it was not fitted on.

    It was fitted on `rows` scores of people; `unscored` more are of rows without a raw score. The last error is of `folds` parts
    of the file, each mapped by a map of the others.
    """

    rows: int
    unscored: int
    folds: int
    raw_error: float
    fitted_error: float
    held_out_error: float
    knots: tuple[MapKnot, ...]
    levels: tuple[RawLevel, ...]


class GradeFacts(StageFacts, frozen=True, kw_only=True):
    """Of `grading.<grader>`; `replies` has one entry where a model graded, `complete` where it gave several scores at once."""

    scores: tuple[ScoreRows, ...]
    reasons: tuple[ReasonRows, ...]
    complete: tuple[Count, ...] = ()
    table_scores: tuple[ReasonRows, ...] = ()
    """The scores of a table by what is wrong with them; an empty reason for those that rows have."""
    spread: tuple[SpreadFacts, ...] = ()
    taken_over: tuple[Count, ...] = ()
    calibration: tuple[CalibrationFacts, ...] = ()
    golden: tuple[GoldenFacts, ...] = ()
    replies: tuple[ReplyFacts, ...] = ()


class Correlation(msgspec.Struct, frozen=True):
    """Spearman's rank correlation over some rows; None where it is not defined."""

    rows: int
    spearman: float | None


class Kappa(msgspec.Struct, frozen=True):
    """Quadratic weighted kappa over some rows; None where it is not defined."""

    rows: int
    kappa: float | None


class OneScored(msgspec.Struct, frozen=True):
    """Rows that only one of two graders scored."""

    this_only: int
    other_only: int


class ConfusionRows(msgspec.Struct, frozen=True):
    """Rows by the scores of two graders."""

    score: float
    other: float
    rows: int


class AssessFacts(StageFacts, frozen=True, kw_only=True):
    """Of `assessing.<grader>`; `length` of a grader with scores, `template_tokens` of one with a model, the others where the recipe
    asks for them."""

    length: tuple[Correlation, ...] = ()
    agreement: tuple[Correlation, ...] = ()
    one_scored: tuple[OneScored, ...] = ()
    kappa: tuple[Kappa, ...] = ()
    confusion: tuple[ConfusionRows, ...] = ()
    spared: tuple[Count, ...] = ()
    template_tokens: tuple[Count, ...] = ()


class FateRows(msgspec.Struct, frozen=True):
    """Rows of one fate; of them, those that the threshold keeps (`above`), those that quotas added, and those that were in
    the dataset before its sample was drawn (`drawn_from`)."""

    fate: str
    rows: int
    above: int
    added: int
    drawn_from: int


class CategoryFateRows(FateRows, frozen=True):
    """Rows of one fate in one category."""

    category: str = ""


class CategoryScoreRows(msgspec.Struct, frozen=True):
    """Rows of one score in one category."""

    category: str
    score: float
    rows: int


class RowNearThreshold(msgspec.Struct, frozen=True):
    """A row that a report may quote."""

    id: str
    score: float
    fate: str
    reasons: tuple[str, ...]
    categories: tuple[str, ...] | None
    instruction: str | None
    input: str | None
    response: str | None
    reply: str | None
    own_id: str | None = None


class SelectFacts(StageFacts, frozen=True, kw_only=True):
    """Of `selecting.<dataset>`."""

    fates: tuple[FateRows, ...]
    category_fates: tuple[CategoryFateRows, ...] = ()
    scores: tuple[ScoreRows, ...] = ()
    category_scores: tuple[CategoryScoreRows, ...] = ()
    near: tuple[RowNearThreshold, ...] = ()


class WrittenFile(msgspec.Struct, frozen=True):
    """A file of a dataset: its name in the folder of datasets, and in the store."""

    name: str
    stored: str


class SplitRows(msgspec.Struct, frozen=True):
    """Rows of a split, with the file in the store that training reads."""

    split: str
    rows: int
    lines: str


class WriteFacts(StageFacts, frozen=True, kw_only=True):
    """Of `writing.<dataset>`."""

    files: tuple[WrittenFile, ...]
    splits: tuple[SplitRows, ...] = ()


class GraderFacts(msgspec.Struct, frozen=True):
    """Of one grader: its grades, and what was measured of them where it was assessed."""

    grades: GradeFacts
    assessed: AssessFacts | None = None
    asked: GradeFacts | None = None
    """Of the grader that asked for this score among several."""
    part: str = ""
    """Name of the score there."""

    @property
    def golden(self) -> GoldenFacts | None:
        """Its scores of rows whose score is known; None where there are none."""
        if self.asked is not None and self.asked.replies:
            return self.asked.replies[0].score_golden.get(self.part)
        asked = self.replies.golden if self.replies else None
        return asked or (self.grades.golden[0] if self.grades.golden else None)

    @property
    def repeats(self) -> RepeatFacts | None:
        """Its scores of rows that were graded twice; None where there are none."""
        if self.asked is not None and self.asked.replies:
            return self.asked.replies[0].score_repeats.get(self.part)
        return self.replies.repeats if self.replies else None

    @property
    def replies(self) -> ReplyFacts | None:
        """The requests to its model; None where no model graded."""
        return self.grades.replies[0] if self.grades.replies else None

    @property
    def taken_over(self) -> int:
        """Rows that kept the score of a cascade's first grader."""
        return self.grades.taken_over[0].rows if self.grades.taken_over else 0

    @property
    def kappa(self) -> float | None:
        """Kappa with the grader that it is compared with; None where there is none."""
        return self.assessed.kappa[0].kappa if self.assessed is not None and self.assessed.kappa else None


def convert_facts(facts: object, kind: type[F]) -> F:
    """The facts of a seal as their type. Raises ValidationError (msgspec) where one is missing or of another type."""
    return msgspec.convert(facts, kind)
