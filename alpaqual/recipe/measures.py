"""The limits of a quota, and the numbers that an expectation can be about."""

from __future__ import annotations

from enum import StrEnum

from alpaqual.recipe.expectations import Expectation


class QuotaLimit(StrEnum):
    """A limit of a quota, by its key in a recipe."""

    MIN_KEEP_RATE = "min_keep_rate"
    MIN_ROWS = "min_rows"
    MIN_SHARE = "min_share"
    MAX_ROWS = "max_rows"
    MAX_SHARE = "max_share"

    @property
    def adds(self) -> bool:
        """Whether rows are added to meet it; otherwise rows are removed."""
        return self in (QuotaLimit.MIN_KEEP_RATE, QuotaLimit.MIN_ROWS, QuotaLimit.MIN_SHARE)

    @property
    def is_share(self) -> bool:
        """Whether it is a share of the dataset."""
        return self in (QuotaLimit.MIN_SHARE, QuotaLimit.MAX_SHARE)


LIMITS = tuple(QuotaLimit)
"""The limits of a quota."""

SUBJECT_KINDS = ("dataset", "category", "grader", "rule")
"""What an expectation can name."""

SUBJECTS = {
    ("dataset",): ("rows", "keep_rate"),
    ("dataset", "category"): ("rows", "keep_rate", "share"),
    ("category",): ("rows",),
    ("grader",): ("scored", "unscored"),
    ("rule",): ("failing_rows",),
    (): ("rows", "quarantined"),
}
"""What an expectation names -> its measures; one that names nothing is about the sources."""

EVALUATION_KINDS = ("pair", "judge", "test_set")
"""What an expectation about the evaluation can name."""

EVALUATION_MEASURES = ("winning_score", "interval_above", "unjudged", "order_kappa")
"""The numbers of an evaluation."""

_OTHERS = (*SUBJECT_KINDS, *EVALUATION_KINDS, *EVALUATION_MEASURES, "level")
MEASURES = tuple(name for name in Expectation.__struct_fields__ if name not in _OTHERS)
"""Every measure of the data, in the order in which results give them."""


def subject(expectation: Expectation) -> tuple[str, ...]:
    """The kinds of things that the expectation names."""
    return tuple(kind for kind in SUBJECT_KINDS if getattr(expectation, kind) is not None)


def is_about_evaluation(expectation: Expectation) -> bool:
    """Whether an expectation is about the evaluation."""
    return any(getattr(expectation, key) is not None for key in (*EVALUATION_KINDS, *EVALUATION_MEASURES))
