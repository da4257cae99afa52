"""The stage `checking`: every failing row of every rule, found in one scan of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from alpaqual.contracts import ConversationCheck
from alpaqual.errors import Problem
from alpaqual.plan.checks import Columns, failing
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.facts import CheckFacts, StageFacts
from alpaqual.plan.loading import LoadStage
from alpaqual.plan.needs import rule_needs
from alpaqual.plan.stage import Facts, KeptTable, Stage
from alpaqual.plan.tables import FAILURES
from alpaqual.quote import literal
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.model import Rule

COUNTS = "SELECT rule, COUNT(*) AS rows FROM failures GROUP BY rule ORDER BY rule"
"""SQL: failing rows of each rule that has any."""
_MASK_BITS = 60
_VALUE_CHARACTERS = 200
_LIMITS_AND_WORDS = ("id", "description", "warn", "fail", "drop")
"""Keys of a rule that do not change which rows fail, such as its limits."""


@dataclass(frozen=True, kw_only=True)
class CheckStage(Stage):
    """Finds the rows that fail each rule."""

    kind: ClassVar[str] = "checking"
    facts: ClassVar[type[StageFacts]] = CheckFacts
    rules: tuple[Rule, ...]
    places: tuple[str, ...]
    """`file:line` of each rule."""
    columns: Columns = field(compare=False, repr=False)

    @property
    def parts(self) -> Iterator[tuple[str, str]]:
        for place, rule in zip(self.places, self.rules, strict=True):
            yield place, failures([rule], self.columns)


def check_stages(compilation: Compilation) -> Iterator[CheckStage]:
    """The one stage that checks the rules of a recipe; none where it has no rules."""
    rules, columns, places = compilation.recipe.rules, compilation.columns.named, compilation.recipe.rule_places
    if not rules:
        return
    compilation.problems += _without_conversations(compilation)
    described = {
        rule.id: {key: value for key, value in msgspec.to_builtins(rule).items() if key not in _LIMITS_AND_WORDS}
        for rule in rules
    }
    yield CheckStage(
        settings={"rules": described},
        inputs=compilation.inputs((LoadStage, "")),
        needs=tuple(rule_needs(compilation)),
        statements=(KeptTable(FAILURES, failures(rules, columns)), Facts("failing", COUNTS)),
        rules=tuple(rules),
        places=tuple(places.get(rule.id, "") for rule in rules),
        columns=columns,
    )


def _without_conversations(compilation: Compilation) -> Iterator[Problem]:
    """A problem for each rule on turns where no source has any."""
    if any(facts.is_conversation for facts in compilation.sources):
        return
    for rule in compilation.recipe.rules:
        for check, _ in checks_of(rule):
            if isinstance(check_plugins()[check], ConversationCheck):
                file, _, line = compilation.recipe.rule_places.get(rule.id, "").rpartition(":")
                message = f"rule '{rule.id}' is about conversations, and no source has any: leave it out"
                yield Problem(file, int(line or 0), 1, message)


def failures(rules: Sequence[Rule], columns: Columns) -> str:
    """SQL: rule, n, id, column and value of every failing row.

    A row's failures are the bits of one number, so that its texts are read once for all rules.
    """
    parts = [_failures(rules[start : start + _MASK_BITS], start, columns) for start in range(0, len(rules), _MASK_BITS)]
    return parts[0] if len(parts) == 1 else "\nUNION ALL\n".join(f"SELECT * FROM ({part}) AS part" for part in parts)


def _failures(rules: Sequence[Rule], start: int, columns: Columns) -> str:
    found = [failing(rule, start + position, columns) for position, rule in enumerate(rules)]
    queries = {helper: query for fail in found for helper, query in fail.helpers}
    helpers = "".join(f"{helper} AS ({query}),\n" for helper, query in queries.items())
    mask = "\n  + ".join(f"CASE WHEN {fail.predicate} THEN {1 << bit} ELSE 0 END" for bit, fail in enumerate(found))
    listed = ", ".join(f"({1 << bit}, {literal(fail.rule)}, {literal(fail.column)})" for bit, fail in enumerate(found))
    values = " ".join(f"WHEN {1 << bit} THEN {fail.value}" for bit, fail in enumerate(found))
    return (
        f"WITH {helpers}marked AS (SELECT *, {mask} AS mask FROM rows)\n"
        f'SELECT r.rule AS rule, m.n AS n, m.id AS id, r.checked AS "column", LEFT(CASE r.bit {values} END, {_VALUE_CHARACTERS}) AS value\n'
        f"FROM (SELECT * FROM marked WHERE mask <> 0) AS m JOIN (VALUES {listed}) AS r (bit, rule, checked) ON (m.mask & r.bit) <> 0"
    )
