"""A run over recorded replies: what the recipe says of them is followed, and a file that is wrong is named by its lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Project

from alpaqual.errors import RecipeError
from alpaqual.evaluation.published_logs import ImportOptions
from alpaqual.execution.importing_judgements import import_files
from alpaqual.recipe.parse import read_recipe
from alpaqual.results.evaluation import EvaluationResult, PairResult

LINES = [
    {"pair": ["a", "b"], "test_set": "t", "id": n, "first": first, "second": second, "reply": reply}
    for n, replies in enumerate([("8 7", "6 9"), ("8 7", "9 6"), ("7 7", "unclear")])
    for (first, second), reply in zip((("a", "b"), ("b", "a")), replies, strict=True)
]


def write(project: Project, lines: list[Any], more: str = "") -> None:
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])
    project.jsonl("log.jsonl", lines)
    project.write(
        "recipe.yaml",
        f"version: 1\nname: log\nsources: [{{path: data.jsonl}}]\nevaluation: {{replies: log.jsonl{more}}}\n",
    )


def evaluated(project: Project) -> EvaluationResult:
    evaluation = project.run().results.evaluation
    assert evaluation is not None
    return evaluation


def counts(pair: PairResult) -> tuple[str, str, int, int, int, int]:
    return pair.a, pair.b, pair.win, pair.tie, pair.lose, pair.unjudged


@pytest.mark.slow
def test_what_the_recipe_says_of_the_pairs_is_followed_in_the_next_run_too(project: Project) -> None:
    write(project, LINES)
    found = evaluated(project)
    assert counts(found.pairs[0]) == ("a", "b", 1, 1, 0, 1)
    assert found.pairs[0].unjudged_reasons == {"no two scores": 1}
    write(project, LINES, ", pairs: [[b, a]]")
    assert counts(evaluated(project).pairs[0]) == ("b", "a", 0, 1, 1, 1)
    write(project, LINES, ", pairs: [[b, c]]")
    with pytest.raises(RecipeError, match="no reply about the pair b, c; there are: a, b"):
        project.run()
    write(project, LINES)
    assert counts(evaluated(project).pairs[0]) == ("a", "b", 1, 1, 0, 1)


def test_a_log_of_one_order_is_counted_where_the_recipe_says_so(project: Project) -> None:
    one = [line for line in LINES if line["first"] == "a"]
    write(project, [*one, one[1]])
    run = project.run()
    assert run.results.evaluation is not None
    assert counts(run.results.evaluation.pairs[0]) == ("a", "b", 0, 0, 0, 3)
    texts = [reason.text for reason in run.results.reasons]
    assert "log.jsonl: lines that repeat an earlier one count once: 4" in texts
    assert any("no item has replies in both orders" in text and "`orders: one`" in text for text in texts)
    write(project, one, ", orders: one")
    assert counts(evaluated(project).pairs[0]) == ("a", "b", 2, 1, 0, 0)


@pytest.mark.parametrize(("turned", "warned"), [(0, True), (2, True), (3, False), (10, False), (20, True)])
def test_a_model_that_is_nearly_always_first_is_warned_of(project: Project, turned: int, warned: bool) -> None:
    pairs = [("b", "a") if n < turned else ("a", "b") for n in range(20)]
    lines = [
        {"pair": ["a", "b"], "test_set": "t", "id": n, "first": first, "second": second, "reply": "8 7"}
        for n, (first, second) in enumerate(pairs)
    ]
    write(project, lines, ", orders: one")
    texts = [reason.text for reason in project.run().results.reasons]
    assert any("a preferred position cannot be separated" in text for text in texts) == warned
    if turned == 2:
        assert any(text.startswith("log.jsonl: a is first in 18 of 20 items of a against b") for text in texts)


def test_lines_that_are_wrong_are_all_named_and_the_run_is_not_made(project: Project) -> None:
    write(project, [*LINES, {**LINES[0], "first": "c"}, {**LINES[0], "reply": "7 8"}])
    with pytest.raises(RecipeError) as caught:
        project.run()
    assert [str(problem) for problem in caught.value.problems] == [
        "log.jsonl:7:1: 'first' and 'second' are 'c' and 'b', the pair is 'a' and 'b'",
        "log.jsonl:8:1: 'a' before 'b' for item '0' of 't' has another reply in line 1: keep one of the two",
    ]


def test_a_prompt_in_a_file_without_a_slot_is_a_problem_of_the_recipe(project: Project) -> None:
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])
    project.jsonl("answers.jsonl", [{"test_set": "t", "id": "1", "answer": "x"}])
    project.jsonl("t.jsonl", [{"id": "1", "instruction": "q"}])
    project.write("judge.txt", "Compare. [Question] [Answer 1]")
    project.write(
        "recipe.yaml",
        "version: 1\nname: own\nsources: [{path: data.jsonl}]\nevaluation:\n  test_sets: [{name: t, path: t.jsonl}]\n"
        "  models: {a: {answers: answers.jsonl}, b: {answers: answers.jsonl}}\n  pairs: [[a, b]]\n"
        "  judge: {model: openai/m, prompt: judge.txt}\n",
    )
    with pytest.raises(RecipeError, match=r"judge.txt: the prompt has no \[Answer 2\]"):
        read_recipe(project.recipe)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("ALPAQUAL_DATA"), reason="needs ALPAQUAL_DATA, the folder of the real data")
def test_the_real_log_gives_the_published_result_by_category(project: Project) -> None:
    data = Path(os.environ["ALPAQUAL_DATA"])
    files = [data / "judge_log" / f"vicuna_{first}_first.json" for first in ("alpagasus2", "alpaca2")]
    found = import_files(files, ImportOptions(), data / "test_sets/vicuna.jsonl")
    write(project, [])
    project.write("log.jsonl", found.text)
    pair = evaluated(project).pairs[0]
    assert counts(pair) == ("alpagasus2", "alpaca2", 40, 38, 2, 0)
    assert len(pair.categories) == 9
    assert sum(group.n for group in pair.categories.values()) == 80
