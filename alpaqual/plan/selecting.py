"""The stages `selecting.<dataset>`: SQL that gives every row one fate, and all its reasons (docs, "Selection, exactly").

Quotas are met by comparing whole numbers, one row after the other in rank, so that no rounding decides which rows are kept:
the row of rank r is added while (rows so far + r - 1) / all is below the rate asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

import msgspec

from alpaqual.amounts import exact
from alpaqual.plan.categorizing import CategorizeStage
from alpaqual.plan.checking import CheckStage
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.dataset_columns import OWN_ID, DatasetColumn, are_plain, dataset_columns, has_own_ids, line, selected
from alpaqual.plan.facts import SelectFacts, StageFacts
from alpaqual.plan.grading import GradeStage, bucket
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.stage import Export, Facts, KeptTable, Stage, Statement, TemporaryTable
from alpaqual.plan.tables import FAILURES, INCOMPLETE, ROW_CATEGORIES, Table, exported, fates, grades
from alpaqual.quote import literal, number
from alpaqual.recipe.graders import Grader, Scale
from alpaqual.recipe.measures import QuotaLimit
from alpaqual.recipe.model import Dataset, Like, Quota
from alpaqual.recipe.recipe import dataset_order, parents
from alpaqual.values import ROW_FIELDS, SOURCE_STRIDE, Fate

ORDERED_BYTES = 2**28
"""Fates of sources up to this size are stored in the order of their rows, so that another run writes the same bytes. Sorting
those of ten million rows would take a third of the time of a selection: they are in the order in which threads finish."""
QUOTED_FROM = 200_000
"""Rows quoted near a threshold are among this many first rows of each source."""
SAMPLE = 50
"""Rows on each side of the threshold that a report can quote."""


@dataclass(frozen=True, kw_only=True)
class SelectStage(Stage):
    """Selects the rows of one dataset and writes them."""

    kind: ClassVar[str] = "selecting"
    facts: ClassVar[type[StageFacts]] = SelectFacts
    dataset: str

    @property
    def subject(self) -> str:
        return self.dataset


def select_stages(compilation: Compilation) -> Iterator[SelectStage]:
    """A stage for each dataset, after those that it starts from."""
    recipe = compilation.recipe
    for dataset_name in dataset_order(recipe.datasets):
        dataset = recipe.datasets[dataset_name]
        inputs: list[tuple[type[Stage], str]] = [(LoadStage, "")]
        inputs += [(GradeStage, grader) for grader in dataset.threshold]
        inputs += [(SelectStage, parent) for parent in parents(dataset)]
        inputs += [(CheckStage, "")] if recipe.dropping else []
        inputs += [(CategorizeStage, "")] if recipe.categories else []
        settings = {key: value for key, value in msgspec.to_builtins(dataset).items() if key not in _UNUSED}
        # Quotas and their limits are met in the order written, so the order is part of the settings.
        limits = recipe.limits(dataset_name)
        settings["quotas"] = [
            [category, [[limit, getattr(quota, limit)] for limit in (*limits[category], "floor")]]
            for category, quota in dataset.quotas.items()
        ]
        statements = selecting_statements(
            dataset_name,
            dataset,
            dropping=recipe.dropping,
            graders=recipe.graders,
            has_categories=bool(recipe.categories),
            limits=limits,
            columns=dataset_columns(
                conversations=compilation.columns.conversations,
                own_ids=compilation.columns.own_ids,
                kept=compilation.columns.kept,
            ),
        )
        if sum(file.bytes for facts in compilation.sources for file in facts.files) <= ORDERED_BYTES:
            statements = [_in_order(each) if isinstance(each, KeptTable) else each for each in statements]
        yield SelectStage(
            dataset=dataset_name,
            settings={**settings, "dropping": recipe.dropping},
            inputs=compilation.inputs(*inputs),
            statements=tuple(statements),
        )


def _in_order(table: KeptTable) -> KeptTable:
    return replace(table, sql=f"{table.sql}\nORDER BY n")


def selecting_statements(  # noqa: PLR0913 - one argument for each part of a recipe that decides
    dataset_name: str,
    dataset: Dataset,
    *,
    dropping: Sequence[str],
    graders: Mapping[str, Grader],
    has_categories: bool,
    limits: Mapping[str, Sequence[QuotaLimit]],
    columns: Sequence[DatasetColumn] | None = None,
) -> list[Statement]:
    """The statements of one dataset.

    `dropping` names the rules that drop rows, `limits` those of each quota in the order in which they are met; `columns` are
    those of the dataset's file, by default those of three texts.
    """
    scales = {grader: graders[grader].scale_of_thresholds for grader in dataset.threshold}
    kept = dataset_columns() if columns is None else columns
    return list(_Selecting(dataset_name, dataset, dropping, scales, has_categories, limits, kept).statements())


class _Selecting:
    def __init__(  # noqa: PLR0913 - the same
        self,
        dataset_name: str,
        dataset: Dataset,
        dropping: Sequence[str],
        scales: Mapping[str, Scale],
        has_categories: bool,
        limits: Mapping[str, Sequence[QuotaLimit]],
        columns: Sequence[DatasetColumn],
    ) -> None:
        self.called = dataset_name
        self.dataset = dataset
        self.dropping = dropping
        self.scales = scales
        self.has_categories = has_categories
        self.limits = limits
        self.columns = columns
        self.graders = list(dataset.threshold)
        self.scores = [f"score{index}" for index in range(len(self.graders))]
        self.pooled = bool(dataset.quotas) or dataset.sample is not None
        """Whether the rows with their first fates are a table, which quotas and samples read again."""
        self.changes: list[tuple[str, str]] = []
        """Tables of rows that a quota added or removed so far, with what each did."""

    def statements(self) -> Iterator[Statement]:
        if not self.pooled:
            yield KeptTable(fates(self.called), self.fates(f"({self.pool()}) AS pool"))
        else:
            yield TemporaryTable(Table("pool"), self.pool())
            yield from self.quotas()
            yield from self.sample()
            yield KeptTable(fates(self.called), self.fates("pool"))
        yield Export(exported(self.called), self.export(), lines=not are_plain(self.columns))
        yield from self.facts()

    def pool(self) -> str:
        """Every row with its scores, the fate that threshold and rules give it, and the reasons."""
        tables = [f"{grades(grader)} AS g{index}" for index, grader in enumerate(self.graders)]
        parent = f"{fates(self.dataset.from_)} AS parent" if self.dataset.from_ else None
        first, *others = ([parent] if parent else []) + (tables or ([] if parent else ["rows AS base"]))
        start = first.rpartition(" ")[2]
        joins = "".join(f" JOIN {table} ON {table.rpartition(' ')[2]}.n = {start}.n" for table in others)
        if not self.dataset.from_:
            joins += f" LEFT JOIN ({self.dropped()}) AS dropped ON dropped.n = {start}.n"
        columns = [f"{start}.n AS n", f"{start}.id AS id"]
        columns += [f"g{index}.score AS {score}" for index, score in enumerate(self.scores)]
        columns += [
            f"{self.first_fate()} AS fate",
            f"{self.first_reasons()} AS reasons",
        ]
        columns += [f"parent.fate = '{Fate.KEPT}' AS open"] if parent else []
        return f"SELECT {', '.join(columns)}\nFROM {first}{joins}"

    def dropped(self) -> str:
        """The rows that dropping rules remove, and those that cannot be trained on, with all reasons."""
        parts = [f"SELECT n, reason FROM {INCOMPLETE}"]
        if self.dropping:
            rules = ", ".join(literal(rule) for rule in self.dropping)
            parts.append(f"SELECT n, CONCAT('rule ', rule) AS reason FROM {FAILURES} WHERE rule IN ({rules})")
        union = " UNION ALL ".join(parts)
        return f"SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM ({union}) AS taken_out GROUP BY n"

    def first_fate(self) -> str:
        if self.dataset.from_:
            cases = [f"WHEN parent.fate <> '{Fate.KEPT}' THEN parent.fate"]
        else:
            cases = [f"WHEN dropped.n IS NOT NULL THEN '{Fate.REMOVED_BY_RULE}'"]
        if self.graders:
            unscored = " OR ".join(f"g{index}.score IS NULL" for index in range(len(self.graders)))
            cases.append(f"WHEN {unscored} THEN '{Fate.UNSCORED}'")
            below = " OR ".join(
                f"g{i}.score < {number(self.dataset.threshold[grader])}" for i, grader in enumerate(self.graders)
            )
            cases.append(f"WHEN {below} THEN '{Fate.BELOW_THRESHOLD}'")
        return f"CASE {' '.join(cases)} ELSE '{Fate.KEPT}' END"

    def first_reasons(self) -> str:
        parts: list[str] = []
        for index, grader in enumerate(self.graders):
            below = literal(f"{grader} below {self.dataset.threshold[grader]:g}")
            unscored = f"CONCAT({literal(f'{grader} unscored: ')}, g{index}.reason)"
            asked = f"g{index}.score < {number(self.dataset.threshold[grader])}"
            parts.append(
                f"CASE WHEN g{index}.score IS NULL THEN [{unscored}] WHEN {asked} THEN [{below}] ELSE CAST([] AS VARCHAR[]) END"
            )
        own = f"LIST_CONCAT({', '.join(parts)})" if len(parts) > 1 else (parts or ["CAST([] AS VARCHAR[])"])[0]
        if self.dataset.from_:
            return f"LIST_CONCAT(parent.reasons, {own})"
        # Nearly every row has no such reasons: joining lists for all of them would cost more than the rest of the query.
        return f"CASE WHEN dropped.n IS NULL THEN {own} ELSE LIST_CONCAT(dropped.reasons, {own}) END"

    def quotas(self) -> Iterator[Statement]:
        if not self.dataset.quotas:
            return
        kept = f"COUNT(*) FILTER (WHERE fate = '{Fate.KEPT}')"
        overall = f"SELECT COUNT(*) FILTER (WHERE {_IN_V}) AS v, {kept} AS b FROM pool"
        yield TemporaryTable(Table("overall"), overall)
        step = 0
        for category, quota in self.dataset.quotas.items():
            for limit in self.limits[category]:
                asked = getattr(quota, limit)
                step += 1
                adds = limit.adds
                table = f"quota{step}"
                reason = f"{'added' if adds else 'removed'} by quota: {category} {limit} {asked if isinstance(asked, str) else format(asked, 'g')}"
                yield TemporaryTable(Table(table), self.quota(category, quota, limit, reason))
                self.changes.append((table, "added" if adds else "removed"))

    def quota(self, category: str, quota: Quota, limit: QuotaLimit, reason: str) -> str:
        """The rows that one limit of a quota adds or removes."""
        adds = limit.adds
        member = f"n IN (SELECT n FROM {ROW_CATEGORIES} WHERE category = {literal(category)})"
        counts = (
            f"SELECT COUNT(*) FILTER (WHERE {_IN_V} AND {member}) AS v, COUNT(*) FILTER (WHERE {self.inside()} AND {member}) AS a, "
            f"COUNT(*) FILTER (WHERE {self.inside()}) AS t FROM pool"
        )
        if adds:
            # A row that an earlier quota took out stays out.
            out = " AND ".join(f"n NOT IN (SELECT n FROM {table})" for table, did in self.changes if did == "removed")
            eligible = f"NOT ({self.inside()}) AND {self.eligible(quota)}{' AND ' + out if out else ''}"
            order = [f"{score} DESC" for score in self.scores] + [self.tie("ASC")]
        else:
            eligible = self.inside()
            order = [f"{score} ASC NULLS FIRST" for score in self.scores] + [self.tie("DESC")]
        ranked = (
            f"SELECT n, ROW_NUMBER() OVER (ORDER BY {', '.join(order)}) AS r FROM pool WHERE {member} AND {eligible}"
        )
        return (
            f"WITH counts AS ({counts}),\nranked AS ({ranked})\n"
            f"SELECT ranked.n AS n, {literal(reason)} AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall\n"
            f"WHERE {_reached(limit, getattr(quota, limit))}"
        )

    def inside(self) -> str:
        """Whether a row of `pool` is in the dataset after the quotas so far."""
        inside = f"fate = '{Fate.KEPT}'"
        for table, did in self.changes:
            inside = (
                f"({inside} OR n IN (SELECT n FROM {table}))"
                if did == "added"
                else f"({inside} AND n NOT IN (SELECT n FROM {table}))"
            )
        return inside

    def eligible(self, quota: Quota) -> str:
        floors: Mapping[str, float] = quota.floor if isinstance(quota.floor, dict) else {}
        if isinstance(quota.floor, int | float):
            floors = dict.fromkeys(self.graders, quota.floor)
        above = [f"score{self.graders.index(grader)} >= {number(floor)}" for grader, floor in floors.items()]
        within = ["open"] if self.dataset.from_ else []
        return " AND ".join([f"fate = '{Fate.BELOW_THRESHOLD}'", *within, *above])

    def tie(self, direction: str) -> str:
        return f"MD5(CONCAT('{self.dataset.seed}', id)) {direction}, id {direction}"

    def sample(self) -> Iterator[Statement]:
        sample = self.dataset.sample
        if sample is None:
            return
        size = str(sample)
        if isinstance(sample, Like):
            size = f"(SELECT COUNT(*) FROM {fates(sample.like)} WHERE fate = '{Fate.KEPT}')"
        ranked = f"SELECT n, ROW_NUMBER() OVER (ORDER BY {self.tie('ASC')}) AS r FROM pool WHERE {self.inside()}"
        yield TemporaryTable(Table("unsampled"), f"SELECT n FROM ({ranked}) AS ranked WHERE r > {size}")

    def fates(self, pool: str) -> str:
        changed = "\nUNION ALL\n".join(f"SELECT n, '{did}' AS did, reason FROM {table}" for table, did in self.changes)
        fate, reasons, joins = "pool.fate", "pool.reasons", ""
        if changed:
            # A row may be added for one category and removed for another: its last change counts, every reason stays.
            last = " ".join(
                f"WHEN pool.n IN (SELECT n FROM {table}) THEN '{_FATE_OF[did]}'"
                for table, did in reversed(self.changes)
            )
            fate = f"CASE {last} ELSE pool.fate END"
            joins = f" LEFT JOIN (SELECT n, LIST(reason ORDER BY reason) AS reasons FROM ({changed}) AS changed GROUP BY n) AS quotas ON quotas.n = pool.n"
            reasons = "CASE WHEN quotas.n IS NULL THEN pool.reasons ELSE LIST_CONCAT(pool.reasons, quotas.reasons) END"
        if self.dataset.sample is not None:
            unsampled = "pool.n IN (SELECT n FROM unsampled)"
            fate = f"CASE WHEN {unsampled} THEN '{Fate.NOT_SAMPLED}' ELSE {fate} END"
            reasons = f"CASE WHEN {unsampled} THEN LIST_APPEND({reasons}, 'not sampled') ELSE {reasons} END"
        return f"SELECT {literal(self.called)} AS dataset, pool.n AS n, pool.id AS id, {fate} AS fate, {reasons} AS reasons\nFROM {pool}{joins}"

    def export(self) -> str:
        """What training reads, in the order of ids: the same data in another order gives the same file."""
        kept = f"SELECT n FROM {fates(self.called)} WHERE fate = '{Fate.KEPT}'"
        picked = selected(self.columns) if are_plain(self.columns) else f"{line(self.columns)} AS line"
        return f"SELECT {picked}\nFROM rows JOIN ({kept}) AS kept USING (n) ORDER BY rows.id"

    def facts(self) -> Iterator[Statement]:
        """Rows of each fate; of them, those that the threshold keeps by itself (`above`), those that quotas added to it,
        and those that are in the dataset before a sample is drawn (`drawn_from`)."""
        decided = str(fates(self.called))
        if self.pooled:
            above, added = f"pool.fate = '{Fate.KEPT}'", f"fates.fate = '{Fate.KEPT}' AND pool.fate <> '{Fate.KEPT}'"
            # A row that the parent's sample left out keeps that fate and is in no draw here.
            drawn_from = f"fates.fate IN ('{Fate.KEPT}', '{Fate.NOT_SAMPLED}') AND pool.fate <> '{Fate.NOT_SAMPLED}'"
            counted, source = (
                f"COUNT(*) FILTER (WHERE {above}) AS above, COUNT(*) FILTER (WHERE {added}) AS added, "
                f"COUNT(*) FILTER (WHERE {drawn_from}) AS drawn_from",
                f"{decided} AS fates JOIN pool USING (n)",
            )
        else:
            counted, source = (
                f"COUNT(*) FILTER (WHERE fates.fate = '{Fate.KEPT}') AS above, 0 AS added, "
                f"COUNT(*) FILTER (WHERE fates.fate = '{Fate.KEPT}') AS drawn_from",
                f"{decided} AS fates",
            )
        counted = f"fates.fate AS fate, COUNT(*) AS rows, {counted} FROM {source}"
        yield Facts("fates", f"SELECT {counted} GROUP BY fates.fate ORDER BY fates.fate")
        if len(self.graders) == 1 and not self.dataset.from_:
            yield from self.score_counts(self.graders[0])
        if self.has_categories:
            by_category = f"SELECT category, {counted} JOIN {ROW_CATEGORIES} USING (n) GROUP BY category, fates.fate ORDER BY category, fates.fate"
            yield Facts("category_fates", by_category)

    def score_counts(self, grader: str) -> Iterator[Statement]:
        """How many rows that the rules leave have each score: what another threshold would keep; and rows near this one."""
        score = bucket("score", self.scales[grader])
        graded = f"SELECT n, {score} AS score FROM {grades(grader)} WHERE score IS NOT NULL"
        graded += f" AND n NOT IN (SELECT n FROM ({self.dropped()}) AS dropped)"
        yield Facts("scores", f"SELECT score, COUNT(*) AS rows FROM ({graded}) AS graded GROUP BY score ORDER BY score")
        if self.has_categories:
            counted = (
                f"SELECT category, score, COUNT(*) AS rows FROM ({graded}) AS graded JOIN {ROW_CATEGORIES} USING (n)"
            )
            yield Facts("category_scores", f"{counted} GROUP BY category, score ORDER BY category, score")
        yield Facts("near", self.near(grader))

    def near(self, grader: str) -> str:
        """Rows next to the threshold on both sides, with their texts and the grader's reply; the order of ids is pseudo-random."""
        threshold = number(self.dataset.threshold[grader])
        graded = f"{grades(grader)} AS grades"
        # A hundred rows out of all would read the texts of nearly every row group of a very large table.
        early = f"n % {SOURCE_STRIDE} <= {QUOTED_FROM}"
        there = f"{early} AND n NOT IN (SELECT n FROM ({self.dropped()}) AS dropped)"
        above = f"SELECT n FROM {graded} WHERE score >= {threshold} AND {there} ORDER BY score, id LIMIT {SAMPLE}"
        below = f"SELECT n FROM {graded} WHERE score < {threshold} AND {there} ORDER BY score DESC, id LIMIT {SAMPLE}"
        categories = (
            f"(SELECT LIST(DISTINCT category ORDER BY category) FROM {ROW_CATEGORIES} WHERE {ROW_CATEGORIES}.n = rows.n)"
            if self.has_categories
            else "[]"
        )
        texts = ", ".join(f"LEFT({field}, {_QUOTED}) AS {field}" for field in ROW_FIELDS)
        own = f", LEFT(rows.{OWN_ID}, {_QUOTED}) AS {OWN_ID}" if has_own_ids(self.columns) else ""
        return (
            f"SELECT rows.id AS id, grades.score AS score, fates.fate AS fate, fates.reasons AS reasons, {categories} AS categories, {texts}, "
            f"LEFT(grades.reply, {_QUOTED}) AS reply{own} FROM (({above}) UNION ALL ({below})) AS chosen JOIN rows USING (n) "
            f"JOIN {graded} USING (n) JOIN {fates(self.called)} AS fates USING (n) ORDER BY score, id"
        )


_UNUSED = ("strict", "format", "file", "split", "push_to_hub")
"""Keys of a dataset that change none of its rows."""
_QUOTED = 1200
_IN_V = f"fate <> '{Fate.REMOVED_BY_RULE}'"
_FATE_OF = {"added": Fate.KEPT, "removed": Fate.REMOVED_BY_QUOTA}


def _reached(limit: str, asked: object) -> str:
    """Whether the row of rank `r` is still needed: `a` rows of the category and `t` of all are in, `v` could be."""
    if asked == "overall":
        # |B| / |V| of all rows against rows of the category, without a division
        return "(counts.a + r - 1) * overall.v < overall.b * counts.v"
    rate = exact(asked) if isinstance(asked, int | float) else Fraction(0)
    p, q = rate.numerator, rate.denominator
    return {
        "min_keep_rate": f"(counts.a + r - 1) * {q} < {p} * counts.v",
        "min_rows": f"counts.a + r - 1 < {p}",
        "min_share": f"(counts.a + r - 1) * {q} < {p} * (counts.t + r - 1)",
        "max_rows": f"counts.a - (r - 1) > {p}",
        "max_share": f"(counts.a - (r - 1)) * {q} > {p} * (counts.t - (r - 1))",
    }[limit]
