"""What `check` says of several scores, levels, samples and the names in a prompt: every kind of mistake, with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaqual.errors import RecipeError
from alpaqual.recipe.parse import parse_recipe
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.score_names import ScoreOf

SCORES = "scores: {accuracy: {scale: {min: 0, max: 5, step: 0.5}}, tone: {scale: {min: 0, max: 10}}}"


def read(graders: str, rest: str = "datasets: {full: {}}", folder: Path | None = None) -> Recipe:
    text = f"version: 1\nname: r\nsources: [{{path: d.jsonl}}]\ngraders:\n{graders}\n{rest}\n"
    return parse_recipe(text, str((folder or Path()) / "recipe.yaml"))


def problems(graders: str, rest: str = "datasets: {full: {}}", folder: Path | None = None) -> list[str]:
    with pytest.raises(RecipeError) as error:
        read(graders, rest, folder)
    return [f"{problem.line}: {problem.message}" for problem in error.value.problems]


def test_every_score_is_a_grader_of_its_own_name() -> None:
    recipe = read(
        f"  judge: {{model: openai/m, samples: 2, temperature: 1, {SCORES}, health: {{length: {{warn: 0.5}}}}}}\n"
        "  both: {of: [judge.accuracy, cheap], combine: mean, scale: {min: 0, max: 5}}\n"
        "  cheap: {column: c, scale: {min: 0, max: 5, step: 0.5}, health: {agreement: {with: judge.accuracy}}}\n"
        "  last: {model: openai/m, cascade: {first: judge.accuracy, threshold: 4, band: 1}}",
        "datasets: {good: {threshold: {judge.accuracy: 4.25, judge.tone: 7}}}\n"
        "expect: [{grader: judge.tone, scored: {min: 1}}, {grader: judge, unscored: {max: 5}}]",
    )
    assert list(recipe.graders) == ["judge", "judge.accuracy", "judge.tone", "both", "cheap", "last"]
    score = recipe.graders["judge.accuracy"]
    assert isinstance(score, ScoreOf)
    assert (score.dimension, score.scale.max, score.samples, score.live) == ("accuracy", 5, 2, False)
    assert score.health.length == recipe.graders["judge"].health.length
    assert (recipe.graders["judge"].dimension, recipe.graders["judge"].scale.max) == ("accuracy, tone", 10)


WRONG = [
    (f"  judge: {{model: openai/m, {SCORES}, scale: {{max: 5}}}}", "5: 'scale' beside 'scores'"),
    (f"  judge: {{model: openai/m, {SCORES}, dimension: tone}}", "5: 'dimension' beside 'scores'"),
    (f"  judge: {{model: openai/m, {SCORES}, levels: {{5: good}}}}", "5: 'levels' beside 'scores'"),
    (f"  judge: {{model: openai/m, {SCORES}, reply: last_line}}", "5: a structured reply is JSON"),
    (f"  judge: {{column: a, {SCORES}}}", "5: 'scores' is for graders that ask a model"),
    (
        f"  judge: {{model: openai/m, {SCORES}, health: {{agreement: {{with: a}}}}}}\n  a: {{column: a}}",
        "5: 'agreement' is of one",
    ),
    ("  judge: {model: openai/m, scores: {a: {health: {golden: {file: g.jsonl}}}}}", "5: 'golden' is about requests"),
    ("  judge: {model: openai/m, scores: {a: {scale: {min: 5, max: 0}}}}", "5: the scale's 'min' must be below"),
    ("  judge: {model: openai/m, scores: {rationale: {}}}", "5: 'rationale' is the key of the explanation"),
    ("  judge: {model: openai/m, scores: {a_b: {}, A-b: {}}}", "5: 'A-b' and 'a_b' are the same key in a reply"),
    ("  judge: {model: openai/m, scores: {a: {}}}\n  judge.a: {column: a}", "5: there is a grader 'judge.a' already"),
    ("  judge: {model: openai/m, scores: {}}", "5: 'scores' is empty"),
    ("  judge: {model: openai/m, scores: {a: {steps: 1}}}", "5: unknown key 'steps'"),
    (
        "  judge: {model: openai/m, scores: {a: {}}, examples: [{instruction: i, response: r, score: 4}]}",
        "5: the grader gives several scores: write 'scores: {a}'",
    ),
    (
        "  judge: {model: openai/m, scores: {a: {}, b: {}}, examples: [{instruction: i, response: r, scores: {a: 9, c: 1}}]}",
        "5: the score 9 is off the scale 0 to 5",
    ),
    ("  judge: {model: openai/m, examples: [{instruction: i, response: r}]}", "5: the key 'score' is missing"),
    ("  judge: {model: openai/m, levels: {6: good}}", "5: the level 6 is off the scale 0 to 5"),
    (
        "  judge: {model: openai/m, scale: {min: 0, max: 5, step: 1}, levels: {4.5: good}}",
        "5: the level 4.5 is no step of the scale",
    ),
    ("  judge: {model: openai/m, levels: {good: 5}}", "5: 'good' must be a text, not '5'"),
    ("  judge: {model: openai/m, levels: {good: fine}}", "5: the level 'good' is no number"),
    ("  judge: {model: openai/m, levels: {4: good, 4.0: fine}}", "5: the level 4.0 is the same as 4"),
    ("  judge: {column: c, levels: {4: good}}", "5: 'levels' is for graders that ask a model"),
    (
        "  judge: {kind: ifd, model: local/m.gguf, fence: true}",
        "5: 'fence' is a part of a prompt, and the kind 'ifd' has its own",
    ),
    ("  judge: {column: c, samples: 2}", "5: 'samples' is for graders that ask a model"),
    (
        "  judge: {model: local/m.gguf, scoring: expectation, samples: 2}",
        "5: a score that is computed from probabilities",
    ),
    ("  judge: {model: openai/m, samples: 0}", "5: 'samples' is 0: it must be 1 or more"),
    (
        f"  judge: {{model: openai/m, {SCORES}}}\n  b: {{of: [judge, judge.tone], combine: mean}}",
        "6: the grader 'judge' gives several",
    ),
    (
        f"  judge: {{model: openai/m, {SCORES}}}\n  b: {{of: [judge.accuracy, judge.tonne], combine: mean}}",
        "6: nothing defines the grader 'judge.tonne', did you mean 'judge.tone'?",
    ),
]


@pytest.mark.parametrize(("graders", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_recipe_says_where(graders: str, message: str) -> None:
    assert any(problem.startswith(message) for problem in problems(graders)), problems(graders)


def test_a_threshold_names_one_score() -> None:
    found = problems(
        f"  judge: {{model: openai/m, {SCORES}}}", "datasets: {good: {threshold: {judge: 4, judge.acuracy: 4}}}"
    )
    assert found == [
        "6: the grader 'judge' gives several scores: name one, judge.accuracy or judge.tone",
        "6: nothing defines the grader 'judge.acuracy', did you mean 'judge.accuracy'?",
    ]


def test_the_scores_of_a_wrong_grader_are_no_further_problems() -> None:
    found = problems(
        f"  judge: {{model: openai/m, {SCORES}, concurency: 4}}", "datasets: {good: {threshold: {judge.accuracy: 4}}}"
    )
    assert len(found) == 1


PROMPT = "[instruction] [input] [response] "
NAMES = [
    ("[score:chep]", "[score:chep]: nothing defines the grader 'chep', did you mean 'cheap'?"),
    ("[score:second]", "[score:second] is a score of this grader itself"),
    ("[score:judge]", "[score:judge]: the grader 'judge' gives several scores"),
]


@pytest.mark.parametrize(("slot", "message"), NAMES)
def test_a_prompt_names_a_grader_with_a_score(tmp_path: Path, slot: str, message: str) -> None:
    (tmp_path / "p.txt").write_text(PROMPT + slot)
    graders = (
        f"  cheap: {{column: c}}\n  judge: {{model: openai/m, {SCORES}}}\n  second: {{model: openai/m, prompt: p.txt}}"
    )
    assert any(problem.startswith(f"7: {message}") for problem in problems(graders, folder=tmp_path))


def test_scores_that_need_each_other_are_a_cycle(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(PROMPT + "[score:b.x]")
    (tmp_path / "b.txt").write_text(PROMPT + "[score:a]")
    graders = "  a: {model: openai/m, prompt: a.txt}\n  b: {model: openai/m, prompt: b.txt, scores: {x: {}}}"
    assert problems(graders, folder=tmp_path) == ["5: grader 'a' depends on itself"]


def test_an_example_has_what_the_prompt_shows(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(PROMPT + "[column:reference] [score:cheap]")
    example = "{instruction: i, response: r, score: 4, columns: {reference: x}}"
    graders = f"  cheap: {{column: c}}\n  judge: {{model: openai/m, prompt: p.txt, examples: [{example}]}}"
    found = problems(graders, folder=tmp_path)
    assert found == ["6: the example lacks the score of 'cheap', which the prompt shows: write it under 'columns'"]


HALVES = "scale: {min: 0, max: 5, step: 0.5}"


@pytest.mark.parametrize(
    ("graders", "between"),
    [
        (f"  a: {{column: a, {HALVES}}}", False),
        (f"  a: {{column: a, {HALVES}, calibrate: {{file: p.jsonl}}}}", True),
        (f"  a: {{model: openai/m, {HALVES}, samples: 2, temperature: 1}}", True),
        ("  a: {column: a, scale: {min: 0, max: 5}}", True),
        ("  a: {column: a, scale: {min: 0, max: 5, step: 0.25}}", True),
        ("  a: {column: a, scale: {min: 0, max: 5, step: 1}}", False),
    ],
)
def test_scores_from_graders_between_the_steps_are_between_them_too(graders: str, between: bool) -> None:
    recipe = read(
        f"{graders}\n  b: {{column: b, {HALVES}}}\n  least: {{of: [a, b], combine: min, {HALVES}}}\n"
        f"  mean: {{of: [least, b], combine: mean, {HALVES}}}\n"
        f"  last: {{model: openai/m, {HALVES}, cascade: {{first: least, threshold: 2, band: 1}}}}"
    )
    steps = {name: recipe.graders[name].scale_of_thresholds.step for name in ("b", "least", "mean", "last")}
    assert steps == {
        "b": 0.5,
        **({"least": None, "mean": None, "last": None} if between else {"least": 0.5, "mean": 0.25, "last": 0.5}),
    }
    thresholds = "datasets: {good: {threshold: {least: 4.3}}}"
    if between:
        assert read(
            f"{graders}\n  b: {{column: b, {HALVES}}}\n  least: {{of: [a, b], combine: min, {HALVES}}}", thresholds
        )
    else:
        assert (
            "4.3 is no step"
            in problems(
                f"{graders}\n  b: {{column: b, {HALVES}}}\n  least: {{of: [a, b], combine: min, {HALVES}}}", thresholds
            )[0]
        )


def test_a_threshold_of_a_mean_of_three_may_be_any_number_of_the_scale() -> None:
    columns = "".join(f"  {name}: {{column: {name}, {HALVES}}}\n" for name in "abc")
    assert read(
        f"{columns}  mean: {{of: [a, b, c], combine: mean, {HALVES}}}", "datasets: {good: {threshold: {mean: 4.3}}}"
    )
