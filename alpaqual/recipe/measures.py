"""The limits of a quota, and the numbers that an expectation can be about."""

from __future__ import annotations

from alpaqual.recipe.model import Expectation, Quota

LIMITS = tuple(name for name in Quota.__struct_fields__ if name.startswith(("min_", "max_")))
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

MEASURES = tuple(name for name in Expectation.__struct_fields__ if name not in (*SUBJECT_KINDS, "level"))
"""Every measure, in the order in which results give them."""


def subject(expectation: Expectation) -> tuple[str, ...]:
    """The kinds of things that the expectation names."""
    return tuple(kind for kind in SUBJECT_KINDS if getattr(expectation, kind) is not None)
