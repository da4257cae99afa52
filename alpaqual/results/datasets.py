"""What a run found of each dataset: which rows it keeps, by category and score, and whether its quotas are met."""

from __future__ import annotations

import msgspec

from alpaqual.results.record import Count, Number, Record, Share
from alpaqual.values import Fate, State


class FateCounts(Record, frozen=True, kw_only=True):
    """Rows of each fate; together they are all rows."""

    kept: Count
    below_threshold: Count
    unscored: Count
    removed_by_rule: Count
    removed_by_quota: Count
    not_sampled: Count

    def of(self, fate: Fate) -> int:
        """Return the rows of one fate."""
        count: int = getattr(self, fate)
        return count


class Selection(Record, frozen=True, kw_only=True):
    """What is selected of a group of rows.

    `eligible` are the rows that no rule removed; `at_threshold` of them the thresholds keep; `below_threshold` rows are added by
    quotas; `rows` are kept in the end. `keep_rate` is `rows` of `eligible`.
    """

    rows: Count
    keep_rate: Share
    eligible: Count
    at_threshold: Count
    below_threshold: Count
    fates: FateCounts


class CategoryResult(Selection, frozen=True, kw_only=True):
    """What a dataset keeps of a category. `shortfall` is the largest number of rows that one of its quotas misses."""

    share: Share
    shortfall: Count


class QuotaResult(Record, frozen=True, kw_only=True):
    """One limit of a quota: `asked` is as in the recipe, `wanted` is that in rows, `shortfall` the rows it is missed by.

    `rows` are those of the category after all quotas and before a sample is drawn.
    """

    category: str
    limit: str
    asked: int | float | str
    wanted: Count
    rows: Count
    shortfall: Count
    state: State


class ScoreCount(Record, frozen=True, kw_only=True):
    """Rows with a score."""

    score: Number
    rows: Count


class CategoryScoreCount(Record, frozen=True, kw_only=True):
    """Rows of a category with a score."""

    category: str
    score: Number
    rows: Count


class NearRow(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A row whose score is near a threshold, with its texts (cut at 1,200 characters) and the grader's reply.

    `own_id` is the data's own id as text.
    """

    id: str
    score: Number
    fate: Fate
    reasons: list[str]
    categories: list[str] | None
    instruction: str | None
    input: str | None
    response: str | None
    reply: str | None
    own_id: str | None = None


class SplitResult(Record, frozen=True, kw_only=True):
    """The rows of a split, and its file (or folder) in the run folder."""

    rows: Count
    share: Share
    file: str


class DatasetResult(Selection, frozen=True, kw_only=True, omit_defaults=True):
    """What a dataset keeps.

    `shortfall` adds up the rows that quotas and sample are missed by. `scores`, `category_scores` and `near` are there for a dataset with
    one threshold; `file` is there for one whose file is not datasets/<name>.jsonl, or `splits` in its place;
    `push_to_hub` for one that names a repository.
    """

    threshold: dict[str, Number]
    from_: str | None = msgspec.field(name="from")
    quotas: list[QuotaResult]
    shortfall: Count
    categories: dict[str, CategoryResult]
    sample: Count | None = None
    scores: list[ScoreCount]
    category_scores: list[CategoryScoreCount]
    near: list[NearRow]
    file: str | None = None
    splits: dict[str, SplitResult] | None = None
    push_to_hub: str | None = None

    def files(self, name: str) -> dict[str, str]:
        """Return the file of each split of the dataset of this name, in the run folder; the whole is the split `train`."""
        splits = {split: found.file for split, found in (self.splits or {}).items()}
        return splits or {"train": self.file or f"datasets/{name}.jsonl"}


def hub_path(split: str, file: str) -> str:
    """Return the path of a split's file in a repository of the Hugging Face Hub."""
    return f"data/{split}.{file.rpartition('.')[2]}"
