"""The stages `assessing.<grader>`: facts of a grader's scores that show whether it has drifted.

Sums are of whole numbers, so that threads and the order of rows change no digit. An undefined measure (fewer than FEW rows, or
values that are all equal) is NULL. Limits are compared with the facts when results are built, so that a changed limit does not
run the stage again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from alpaqual.plan.checking import CheckStage
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.facts import AssessFacts, StageFacts
from alpaqual.plan.grading import NOT_ASKED, GradeStage, asked_rows, doubtful
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.stage import Facts, Stage
from alpaqual.plan.tables import grades
from alpaqual.quote import literal, number
from alpaqual.recipe.graders import Grader, Health, Scale
from alpaqual.recipe.scales import common_steps

FEW = 3
"""Fewest rows of a correlation: any two points are on a line."""
MOST_STEPS = 101
"""Most scores on a scale whose confusion table is kept: a larger table is too large to read."""


def assesses(grader: Grader) -> bool:
    """Whether a grader is assessed: always with a model, else where the recipe has `health`."""
    return grader.model is not None or grader.health != Health()


@dataclass(frozen=True, kw_only=True)
class AssessStage(Stage):
    """Measures one grader's scores."""

    kind: ClassVar[str] = "assessing"
    facts: ClassVar[type[StageFacts]] = AssessFacts
    grader: str

    @property
    def subject(self) -> str:
        return self.grader


def assess_stages(compilation: Compilation) -> Iterator[AssessStage]:
    """A stage for each grader that is assessed."""
    recipe = compilation.recipe
    for grader_name, grader in recipe.graders.items():
        if not assesses(grader):
            continue
        other = grader.health.agreement.with_ if grader.health.agreement else None
        first = grader.cascade.first if grader.cascade else None
        inputs: list[tuple[type[Stage], str]] = [(LoadStage, "")]
        inputs += [(GradeStage, each) for each in (grader_name, other, first) if each]
        inputs += [(CheckStage, "")] if grader.live and first and recipe.dropping else []
        yield AssessStage(
            grader=grader_name,
            settings={"length": "characters", "agreement": other, "cascade": first},
            inputs=compilation.inputs(*inputs),
            statements=tuple(assessing_facts(grader_name, recipe.graders, recipe.dropping)),
        )


def assessing_facts(grader_name: str, graders: Mapping[str, Grader], dropping: Sequence[str]) -> list[Facts]:
    """The facts of one grader; `dropping` names the rules that drop rows.

    `length`: one record of `rows` and `spearman`. With `agreement`: `agreement` likewise, `one_scored` (`this_only` and
    `other_only`: rows that only one of the two graders scored) and, where both have the same steps, `kappa` (`rows`, `kappa`)
    and `confusion` (`score`, `other`, `rows`). With `cascade`: `spared`, the `rows` that would have gone to the model without it.
    """
    grader = graders[grader_name]
    facts = [Facts("length", _spearman(_lengths(grader_name)))]
    if grader.health.agreement is not None:
        facts += _agreement_facts(grader_name, grader.health.agreement.with_, graders)
    if grader.cascade is not None:
        certain = f"{grades(grader.cascade.first)} WHERE NOT ({doubtful(grader.cascade)})"
        asked = asked_rows(grader, dropping, cascade=False)
        facts.append(Facts("spared", f"SELECT COUNT(*) AS rows FROM {certain} AND {asked}"))
    return facts


def _agreement_facts(grader_name: str, other_name: str, graders: Mapping[str, Grader]) -> list[Facts]:
    grader, other = graders[grader_name], graders[other_name]
    both = _both(grader_name, other_name, graders)
    scored = f"{both} WHERE this.score IS NOT NULL AND other.score IS NOT NULL"
    alone = ", ".join(
        f"COUNT(CASE WHEN {one}.score IS NOT NULL AND {two}.score IS NULL THEN 1 END) AS {one}_only"
        for one, two in (("this", "other"), ("other", "this"))
    )
    facts = [
        Facts("agreement", _spearman(f"SELECT this.score AS x, other.score AS y FROM {scored}")),
        Facts("one_scored", f"SELECT {alone} FROM {both}"),
    ]
    if (scale := common_steps(grader, other)) is not None:
        pairs = _counted(f"SELECT {_step('this.score', scale)} AS x, {_step('other.score', scale)} AS y FROM {scored}")
        facts.append(Facts("kappa", _kappa(pairs)))
        if (scale.max - scale.min) / (scale.step or 1) < MOST_STEPS:
            cells = f"{_score('x', scale)} AS score, {_score('y', scale)} AS other, rows"
            facts.append(Facts("confusion", f"SELECT {cells} FROM ({pairs}) AS pairs ORDER BY x, y"))
    return facts


def _both(grader_name: str, other_name: str, graders: Mapping[str, Grader]) -> str:
    """SQL: `this` and `other`, both graders' grades of the rows that each graded by itself.

    The rows that a cascade took over are left out, since both graders have the same score there.
    """
    sides = []
    for called, own, beside in (("this", grader_name, other_name), ("other", other_name, grader_name)):
        conditions = [f"COALESCE(reason, '') <> {literal(NOT_ASKED)}"] if graders[own].live else []
        cascade = graders[beside].cascade
        if cascade is not None and cascade.first == own:
            conditions.append(f"({doubtful(cascade)})")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sides.append(f"(SELECT n, score FROM {grades(own)}{where}) AS {called}")
    return f"{sides[0]} JOIN {sides[1]} ON other.n = this.n"


def _lengths(grader_name: str) -> str:
    """SQL: the score (`x`) and the response's length in characters (`y`) of each row that has both."""
    joined = f"{grades(grader_name)} AS grades JOIN rows ON rows.n = grades.n"
    there = "grades.score IS NOT NULL AND rows.response IS NOT NULL"
    return f"SELECT grades.score AS x, LENGTH(rows.response) AS y FROM {joined} WHERE {there}"


def _counted(pairs: str) -> str:
    """SQL: each pair (`x`, `y`) once, with its `rows`."""
    return f"SELECT x, y, COUNT(*) AS rows FROM ({pairs}) AS found GROUP BY x, y"


def _spearman(pairs: str) -> str:
    """SQL: `rows`, and Spearman's rank correlation of the pairs (`x`, `y`), to six digits.

    That is Pearson's correlation of ranks, in which ties have the average of the ranks that they take up (Kendall and Gibbons,
    Rank Correlation Methods, 5th ed. 1990, section 3.8). Twice such a rank less the mean of all is the number of rows below
    less the number above: a whole number.
    """
    ranks = ", ".join(
        f"SUM(rows) OVER (ORDER BY {axis}) - SUM(rows) OVER (ORDER BY {axis} DESC) AS rank_{axis}"
        for axis in ("x", "y")
    )
    ranked = f"SELECT rows, {ranks} FROM ({_counted(pairs)}) AS pairs"
    sums = (("rank_x", "rank_y"), ("rank_x", "rank_x"), ("rank_y", "rank_y"))
    together, of_x, of_y = (f"SUM(rows * {one} * {two})" for one, two in sums)
    spread = f"SQRT(CAST({of_x} AS DOUBLE)) * SQRT(CAST({of_y} AS DOUBLE))"
    defined = f"SUM(rows) >= {FEW} AND {of_x} > 0 AND {of_y} > 0"
    value = f"CASE WHEN {defined} THEN ROUND(CAST({together} AS DOUBLE) / ({spread}), 6) END"
    return f"SELECT {_total()}, {value} AS spearman FROM ({ranked}) AS ranked"


def _kappa(pairs: str) -> str:
    """SQL: `rows`, and quadratic weighted kappa of counted pairs of steps (`x`, `y`, `rows`), to six digits.

    1 - sum(w * observed) / sum(w * expected by chance), with w = (x - y)^2 (Cohen, Weighted kappa, Psychological Bulletin
    70, 1968). Multiplied out, with n rows: 2 (n sum(xy) - sum(x) sum(y)) / (n sum(x^2 + y^2) - 2 sum(x) sum(y)).
    """
    products = "SUM(rows * x) * SUM(rows * y)"
    above = f"2 * (SUM(rows) * SUM(rows * x * y) - {products})"
    below = f"SUM(rows) * SUM(rows * (x * x + y * y)) - 2 * {products}"
    value = f"ROUND(CAST({above} AS DOUBLE) / CAST({below} AS DOUBLE), 6)"
    return f"SELECT {_total()}, CASE WHEN SUM(rows) >= {FEW} AND {below} > 0 THEN {value} END AS kappa FROM ({pairs}) AS pairs"


def _total() -> str:
    return "CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows"


def _step(score: str, scale: Scale) -> str:
    """SQL: the steps from the lowest score to a score, rounded to the nearest step."""
    return f"CAST(ROUND(({score} - {number(scale.min)}) / {number(scale.step or 1)}) AS BIGINT)"


def _score(step: str, scale: Scale) -> str:
    """SQL: the score at a number of steps above the lowest."""
    return f"ROUND({number(scale.min)} + {step} * {number(scale.step or 1)}, 6)"
