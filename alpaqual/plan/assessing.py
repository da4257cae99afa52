"""The stages `assessing.<grader>`: facts of a grader's scores that show whether it has drifted.

Limits are compared with the facts when results are built, so that a changed limit does not
run the stage again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from alpaqual.plan.checking import CheckStage
from alpaqual.plan.coefficients import counted, kappa, score_at, spearman, step_of
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.facts import AssessFacts, StageFacts
from alpaqual.plan.grading import NOT_ASKED, GradeStage, asked_rows, doubtful, may_skip
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.stage import Facts, Stage
from alpaqual.plan.tables import grades
from alpaqual.quote import literal
from alpaqual.recipe.graders import Grader, Health
from alpaqual.recipe.scales import common_steps
from alpaqual.recipe.score_names import ScoreOf

TEMPLATE_TOKENS = r"<\|[A-Za-z0-9_-]{2,40}\|>|<｜[^｜<>\n]{2,40}｜>|<(start|end)_of_turn>|</?s>|<[be]os>|\[/?(INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]|<</?SYS>>"
"""Tokens that chat templates of ChatML, Llama, Gemma, Mistral, Phi, DeepSeek and others put around turns, as a regular expression."""
MOST_STEPS = 101
"""Most scores on a scale whose confusion table is kept: a larger table is too large to read."""


def assesses(grader: Grader) -> bool:
    """Whether a grader is assessed: always with a model, else where the recipe has `health`."""
    return grader.model is not None or isinstance(grader, ScoreOf) or grader.health != Health()


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

    `length`: one record of `rows` and `spearman`. With a model: `template_tokens`, the `rows` that hold a chat template's own tokens. With `agreement`: `agreement` likewise, `one_scored` (`this_only` and
    `other_only`: rows that only one of the two graders scored) and, where both have the same steps, `kappa` (`rows`, `kappa`)
    and `confusion` (`score`, `other`, `rows`). With `cascade`: `spared`, the `rows` that would have gone to the model without it.
    """
    grader = graders[grader_name]
    facts = [] if grader.scores else [Facts("length", spearman(_lengths(grader_name)))]
    if grader.model is not None:
        facts.append(Facts("template_tokens", f"SELECT COUNT(*) AS rows FROM rows WHERE {_holds_template_tokens()}"))
    if grader.health.agreement is not None:
        facts += _agreement_facts(grader_name, grader.health.agreement.with_, graders)
    if grader.cascade is not None:
        certain = f"{grades(grader.cascade.first)} WHERE NOT ({doubtful(grader.cascade)})"
        asked = asked_rows(grader, dropping, cascade=False)
        facts.append(Facts("spared", f"SELECT COUNT(*) AS rows FROM {certain} AND {asked}"))
    return facts


def _holds_template_tokens() -> str:
    """SQL: whether a row's texts hold tokens of a chat template; the shipped rule `chat_template_tokens` finds the same rows."""
    return f"REGEXP_MATCHES(CONCAT(instruction, ' ', input, ' ', response), {literal(TEMPLATE_TOKENS)})"


def _agreement_facts(grader_name: str, other_name: str, graders: Mapping[str, Grader]) -> list[Facts]:
    grader, other = graders[grader_name], graders[other_name]
    both = _both(grader_name, other_name, graders)
    scored = f"{both} WHERE this.score IS NOT NULL AND other.score IS NOT NULL"
    alone = ", ".join(
        f"COUNT(CASE WHEN {one}.score IS NOT NULL AND {two}.score IS NULL THEN 1 END) AS {one}_only"
        for one, two in (("this", "other"), ("other", "this"))
    )
    facts = [
        Facts("agreement", spearman(f"SELECT this.score AS x, other.score AS y FROM {scored}")),
        Facts("one_scored", f"SELECT {alone} FROM {both}"),
    ]
    if (scale := common_steps(grader, other)) is not None:
        pairs = counted(
            f"SELECT {step_of('this.score', scale)} AS x, {step_of('other.score', scale)} AS y FROM {scored}"
        )
        facts.append(Facts("kappa", kappa(pairs)))
        if (scale.max - scale.min) / (scale.step or 1) < MOST_STEPS:
            cells = f"{score_at('x', scale)} AS score, {score_at('y', scale)} AS other, rows"
            facts.append(Facts("confusion", f"SELECT {cells} FROM ({pairs}) AS pairs ORDER BY x, y"))
    return facts


def _both(grader_name: str, other_name: str, graders: Mapping[str, Grader]) -> str:
    """SQL: `this` and `other`, both graders' grades of the rows that each graded by itself.

    The rows that a cascade took over are left out, since both graders have the same score there.
    """
    sides = []
    for called, own, beside in (("this", grader_name, other_name), ("other", other_name, grader_name)):
        conditions = [f"COALESCE(reason, '') <> {literal(NOT_ASKED)}"] if may_skip(graders[own]) else []
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
