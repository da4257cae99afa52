"""Graders made of other graders, of lengths, and cascades: against the same computed in plain Python."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Project

from alpaqual.api import Run
from alpaqual.errors import RecipeError

SCORES: list[tuple[float | None, float | None, float | None]] = [
    (4.5, 4.5, 4.5),
    (1, 2, 4.5),
    (None, 5, 5),
    (5, None, 0),
    (4, 4.5, 4),
    (0, 0, 0),
    (3.5, 4, 4.5),
    (0.1, 0.2, 0.3),
]
COMBINED: dict[str, Callable[[list[float]], float | None]] = {
    "mean": lambda scores: sum(scores) / 3,
    "median": statistics.median,
    "min": min,
    "agreement": lambda scores: sum(scores) / 3 if max(scores) - min(scores) <= 0.5 else None,
}


def combined(project: Project, more: str) -> Run:
    rows: list[dict[str, Any]] = [
        {"instruction": f"q{i}", "output": "x" * (i + 1), "a": a, "b": b, "c": c} for i, (a, b, c) in enumerate(SCORES)
    ]
    project.jsonl("d.jsonl", rows)
    graders = [f"  {name}: {{column: {name}}}" for name in "abc"]
    project.ask(
        "d.jsonl", "\n".join(["graders:", *graders, f"  g: {more}"]), datasets="{good: {threshold: {g: 4}}, full: {}}"
    )
    return project.run()


def scores(run: Run, grader: str = "g") -> list[tuple[float | None, str | None]]:
    frame = run.grades.polars()
    return frame.filter(frame["grader"] == grader).sort("n").select("score", "reason").rows()


@pytest.mark.parametrize("how", COMBINED)
def test_scores_are_combined(project: Project, how: str) -> None:
    run = combined(project, f"{{of: [a, b, c], combine: {how}}}")
    for given, (score, reason) in zip(SCORES, scores(run), strict=True):
        missing = [name for name, each in zip("abc", given, strict=True) if each is None]
        if missing:
            assert (score, reason) == (None, f"{missing[0]} gave no score")
            continue
        wanted = COMBINED[how]([each for each in given if each is not None])
        assert score == (None if wanted is None else pytest.approx(wanted, abs=1e-9))
        assert reason == ("the graders disagree" if wanted is None else None)
    kept = {row["instruction"] for row in run.datasets["good"].polars().to_dicts()}
    assert kept == {f"q{i}" for i, (score, _) in enumerate(scores(run)) if score is not None and score >= 4}


def test_a_length_is_counted_in_characters(project: Project) -> None:
    run = combined(project, "{kind: length, scale: {min: 0, max: 6}}")
    assert scores(run) == [*((float(n), None) for n in range(1, 7)), (None, "out of scale"), (None, "out of scale")]


def test_a_cascade_keeps_the_first_score_where_it_is_clear(project: Project) -> None:
    """No reply is recorded, so whatever the second grader is asked about stays without a score."""
    project.write("none.jsonl", "")
    run = combined(project, "{model: recorded/none.jsonl, cascade: {first: a, threshold: 4, band: 0.5}}")
    for (first, *_), (score, reason) in zip(SCORES, scores(run), strict=True):
        asked = first is None or 3.5 <= first <= 4.5
        assert (score, reason) == ((None, "no recorded reply") if asked else (first, None))
    found = run.results["graders"]["g"]
    assert (found["taken_over"], found["unscored"]) == (4, 4)


WRONG = {
    "{of: [a, g], combine: mean}": "'g' is this grader itself",
    "{of: [a, missing], combine: mean}": "nothing defines the grader 'missing'",
    "{of: [a, b]}": "'of' needs 'combine' beside it",
    "{column: a, combine: mean}": "'combine' needs 'of' beside it, or 'each: turn'",
    "{model: openai/m, combine: mean}": "'combine' needs 'of' beside it, or 'each: turn'",
    "{of: [a, b], combine: last}": "scores of graders are combined by mean, median, min, agreement, not by 'last'",
    "{model: openai/m, each: turn, combine: median}": "scores of turns are combined by min, mean, last, not by 'median'",
    "{column: a, each: turn}": "'each' is for graders that ask a model",
    "{kind: length, each: turn}": "'each' is for graders that ask a model",
    "{model: openai/m, each: turn, combine: mean, scale: {min: 0, max: 5, step: 1}, "
    "health: {agreement: {with: b, kappa: {warn: 0.5}}}}": "kappa compares steps",
    "{of: [a, b], combine: mean, scale: {min: 0, max: 10}}": "'a' has another scale than 'g'",
    "{kind: length, column: a}": "leave 'column' out",
    "{column: a, cascade: {first: b, threshold: 4, band: 1}}": "'cascade' is for graders that ask a model",
    "{model: openai/m, cascade: {first: b, threshold: 7, band: 1}}": "is off the scale",
    "{column: a, health: {agreement: {with: b, kappa: {warn: 0.5}}}}": "kappa compares steps",
    "{model: openai/m, kind: ifd}": "use local/PATH",
    "{model: anthropic/m, scoring: expectation}": "use local/PATH",
    "{model: local/m, mode: batch}": "local has no batch API",
    "{model: openai/m, examples: [{instruction: i, response: r, score: 9}]}": "the score 9 is off the scale",
}


@pytest.mark.parametrize("words", WRONG)
def test_settings_that_exclude_each_other_are_refused_at_their_place(project: Project, words: str) -> None:
    with pytest.raises(RecipeError) as error:
        combined(project, words)
    assert any(WRONG[words] in problem.message and problem.line == 9 for problem in error.value.problems)


def test_graders_that_depend_on_each_other_are_refused(project: Project) -> None:
    project.jsonl("d.jsonl", [{"instruction": "q", "output": "a"}])
    project.ask("d.jsonl", "graders: {a: {of: [b, b], combine: mean}, b: {of: [a, a], combine: mean}}")
    with pytest.raises(RecipeError, match="depends on itself"):
        project.run()


def test_a_template_must_hold_the_whole_row(project: Project) -> None:
    project.write("prompt.txt", "Rate [response] for [instruction] on [dimension].")
    project.jsonl("d.jsonl", [{"instruction": "q", "output": "a"}])
    project.ask("d.jsonl", "graders: {g: {model: recorded/r.jsonl, prompt: prompt.txt}}")
    with pytest.raises(RecipeError, match=r"has no \[input\]: the model would not see that part"):
        project.run()
