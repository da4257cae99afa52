"""Several scores from one reply, samples, marks and named slots in whole runs over a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import polars as pl
import pytest
from conftest import Project
from loopback import Server, joined, named_score, score_of

from alpaqual import api
from alpaqual.api import Run
from alpaqual.errors import RecipeError, StageError
from alpaqual.plan.prompts import grader_plugin
from alpaqual.values import Row

pytestmark = pytest.mark.slow

COUNT = 24
ROWS = [
    {"instruction": f"question {i}", "input": "", "output": f"answer {i}", "reference": f"truth {i}" if i % 3 else None}
    for i in range(COUNT)
]
HALVES = "scale: {min: 0, max: 5, step: 0.5}"
SCORES = f"scores: {{accuracy: {{{HALVES}, levels: {{5: right, 0: wrong}}}}, helpfulness: {{{HALVES}}}}}"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.restore(record=True)
    return running


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-none")


def ask(project: Project, server: Server, graders: dict[str, str], rest: str = "datasets: {full: {}}") -> None:
    """A recipe whose graders ask the server; those that name no model have the key as it is written."""
    project.jsonl("data.jsonl", ROWS)
    lines = ["version: 1", "name: r", "sources: [{path: data.jsonl}]", "graders:"]
    for name, words in graders.items():
        model = (
            "" if re.match("column|of|table", words) else f"model: openai/gpt-4o-mini, base_url: '{server.openai}', "
        )
        lines.append(f"  {name}: {{{model}{words}}}")
    project.write("recipe.yaml", "\n".join([*lines, rest]) + "\n")


def scores(run: Run, column: str = "score") -> dict[str, dict[str, float | None]]:
    """By grader: the value of each row by its instruction."""
    rows = pl.read_parquet(run.folder / "tables" / "rows.parquet").select("n", "instruction")
    found: dict[str, dict[str, float | None]] = {}
    for grader, instruction, value in (
        run.grades.polars().join(rows, on="n").select("grader", "instruction", column).rows()
    ):
        found.setdefault(grader, {})[instruction] = value
    return found


def expected(project: Project, name: str = "judge") -> dict[str, float]:
    """What the server's score of each row's prompt is."""
    recipe = api.plan_recipe(project.recipe).recipe
    plugin = grader_plugin(recipe.graders[name], recipe.prompts.get(name), "openai/gpt-4o-mini")
    asked = {row["instruction"]: Row("", str(row["instruction"]), "", str(row["output"])) for row in ROWS}
    return {text: score_of(joined(plugin.request(row).messages)) for text, row in asked.items()}


def test_one_request_gives_every_score_and_each_has_a_name(project: Project, server: Server) -> None:
    graders = {
        "judge": f"{SCORES}, price: {{input: 1, output: 1}}",
        "both": "of: [judge.accuracy, judge.helpfulness], combine: min, scale: {min: 0, max: 5, step: 0.5}",
        "last": f"{HALVES}, cascade: {{first: judge.accuracy, threshold: 2.5, band: 0.5}}",
    }
    rest = (
        "datasets: {good: {threshold: {judge.accuracy: 2.5, judge.helpfulness: 1}}}\n"
        f"expect: [{{grader: judge.helpfulness, scored: {{min: {COUNT}}}}}, {{grader: judge, scored: {{min: {COUNT}}}}}]"
    )
    ask(project, server, graders, rest)
    run = project.run()
    found, prompts = scores(run), expected(project)
    for name in ("accuracy", "helpfulness"):
        assert found[f"judge.{name}"] == {text: named_score(name, score) for text, score in prompts.items()}
    accuracy, helpfulness = found["judge.accuracy"], found["judge.helpfulness"]
    assert found["both"] == {text: min(accuracy[text], helpfulness[text]) for text in accuracy}  # type: ignore[type-var]
    assert "judge" not in found
    near = {text for text, score in accuracy.items() if 2 <= (score or 0) <= 3}
    assert server.stats()["requests"] == COUNT + len(near)
    assert {text: score for text, score in found["last"].items() if text not in near} == {
        text: score for text, score in accuracy.items() if text not in near
    }
    kept = {row["instruction"] for row in run.rows(fate="kept", limit=None)}
    assert kept == {text for text in accuracy if (accuracy[text] or 0) >= 2.5 and (helpfulness[text] or 0) >= 1}

    results = run.results["graders"]
    assert list(results) == ["judge", "judge.accuracy", "judge.helpfulness", "both", "last"]
    assert results["judge"]["calls_made"] == COUNT
    assert results["judge"]["cost_usd"] > 0
    assert (results["judge"]["scored"], results["judge"]["histogram"]) == (COUNT, [])
    part = results["judge.accuracy"]
    assert (part["dimension"], part["scored"], part["calls_made"], part["cost_usd"]) == ("accuracy", COUNT, 0, 0)
    assert sum(bar["rows"] for bar in part["histogram"]) == COUNT
    assert [each["state"] for each in run.results["expectations"]] == ["pass", "pass"]
    for report in ("report.md", "report.html"):
        text = (run.folder / report).read_text(encoding="utf-8")
        assert re.search(r"judge(&#46;|\\?\.)helpfulness", text), report
    shown = run.rows(limit=1)[0]
    assert shown["scores"].keys() == {"judge.accuracy", "judge.helpfulness", "both", "last"}

    server.reset()
    project.write("recipe.yaml", project.recipe.read_text().replace("judge.accuracy: 2.5", "judge.accuracy: 3"))
    again = project.run()
    assert server.stats()["requests"] == 0
    assert [each.stage for each in again.outcomes if not each.reused] == ["selecting.good"]
    assert to_send(project) == 0


def to_send(project: Project) -> int:
    """Requests that a run would send."""
    return sum(each.calls for each in api.estimate(api.plan_recipe(project.recipe)))


def test_anthropic_gives_several_scores_too(project: Project, server: Server) -> None:
    ask(project, server, {"judge": SCORES})
    text = project.recipe.read_text().replace("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5")
    project.write("recipe.yaml", text.replace(server.openai, server.anthropic))
    assert scores(project.run())["judge.accuracy"].keys() == {row["instruction"] for row in ROWS}


def test_words_ask_for_json_where_no_schema_is_sent(project: Project, server: Server) -> None:
    server.settings(reply='Sure!\n```json\n{"accuracy": {score}, "helpfulness": 4}\n```')
    ask(project, server, {"judge": f"{SCORES}, structured: false"})
    found = scores(project.run())
    assert found["judge.accuracy"] == expected(project)
    assert set(found["judge.helpfulness"].values()) == {4.0}
    assert server.stats()["requests"] == COUNT


def test_a_reply_that_lacks_a_score_is_asked_again_and_is_no_half_row(project: Project, server: Server) -> None:
    server.settings(reply='{"accuracy": 3}', rows={"question 1\n": ["prose", 1]})
    rest = "datasets: {full: {}}\nexpect: [{grader: judge, unscored: {max: 100%}}, {grader: judge.accuracy, unscored: {max: 0}}]"
    ask(project, server, {"judge": f"{SCORES}, structured: false, pilot: 0"}, rest)
    run = project.run()
    assert server.stats()["requests"] == 3 * COUNT
    found = scores(run)
    assert set(found["judge.accuracy"].values()) == set(found["judge.helpfulness"].values()) == {None}
    for grader in ("judge", "judge.accuracy", "judge.helpfulness"):
        assert run.results["graders"][grader]["unscored_reasons"] == {"no number": COUNT}
    assert [each["state"] for each in run.results["expectations"]] == ["pass", "fail"]


def test_requests_without_an_answer_are_reported_once_and_asked_again(project: Project, server: Server) -> None:
    server.settings(rows={"question 5\n": "error"})
    rest = "datasets: {full: {}}\nexpect: [{grader: judge.accuracy, unscored: {max: 1}}]"
    ask(project, server, {"judge": f"{SCORES}, pilot: 0"}, rest)
    run = project.run()
    assert [reason["text"].partition(" (")[0] for reason in run.results["reasons"]] == [
        "grader judge: 1 row got no answer"
    ]
    assert run.verdict == "warn"
    server.restore()
    again = project.run()
    assert server.stats()["requests"] == 1
    assert (again.verdict, again.results["graders"]["judge.accuracy"]["unscored"]) == ("pass", 0)


def test_health_is_of_each_score(project: Project, server: Server) -> None:
    project.jsonl(
        "golden.jsonl",
        [{"instruction": f"g{i}", "response": "r", "accuracy": 0, "helpfulness": i % 6} for i in range(6)],
    )
    health = (
        "health: {golden: {file: golden.jsonl, within: 0, warn: 0%}, repeats: {rows: 5}, most_frequent: {warn: 1%}}"
    )
    parts = SCORES.replace(
        f"helpfulness: {{{HALVES}}}",
        f"helpfulness: {{{HALVES}, health: {{most_frequent: {{warn: 99%}}, agreement: {{with: judge.accuracy}}}}}}",
    )
    ask(project, server, {"judge": f"{parts}, {health}"})
    run = project.run()
    assert server.stats()["requests"] == COUNT + 6 + 5
    plugin = grader_plugin(api.plan_recipe(project.recipe).recipe.graders["judge"], None, "openai/gpt-4o-mini")
    asked = [score_of(joined(plugin.request(Row("", f"g{i}", "", "r")).messages)) for i in range(6)]
    wrong = {
        "accuracy": sum(named_score("accuracy", score) != 0 for score in asked),
        "helpfulness": sum(named_score("helpfulness", score) != i % 6 for i, score in enumerate(asked)),
    }
    for name in ("accuracy", "helpfulness"):
        checks = {check["check"]: check for check in run.results["graders"][f"judge.{name}"]["health"]}
        assert checks["golden"]["value"] == pytest.approx(wrong[name] / 6, abs=1e-6)
        assert run.results["graders"][f"judge.{name}"]["golden"]["wrong"] == wrong[name]
        assert checks["repeats"]["value"] == 0
        assert checks["most_frequent"]["state"] == ("warn" if name == "accuracy" else "pass")
    assert run.results["graders"]["judge.helpfulness"]["agreement"]["with"] == "judge.accuracy"
    places = {reason["text"].split(":")[0]: reason["place"] for reason in run.results["reasons"]}
    assert all(place.endswith("recipe.yaml:5") for place in places.values())


def test_a_score_that_ranks_nothing_stops_the_run_after_the_pilot(project: Project, server: Server) -> None:
    server.settings(reply='{"accuracy": {score}, "helpfulness": 4}')
    parts = SCORES.replace(
        f"helpfulness: {{{HALVES}}}", f"helpfulness: {{{HALVES}, health: {{most_frequent: {{fail: 90%}}}}}}"
    )
    ask(project, server, {"judge": f"{parts}, structured: false, pilot: 21"})
    with pytest.raises(StageError, match=r"grader judge\.helpfulness: the pilot of 21 rows gave 4 to 21 of 21"):
        project.run()
    assert server.stats()["requests"] == 21


def test_a_prompt_shows_columns_and_the_score_of_an_earlier_grader(project: Project, server: Server) -> None:
    project.write("p.txt", "[instruction] [input] [response]\nRight: [column:reference]\nFirst: [score:judge.accuracy]")
    graders = {"second": f"{HALVES}, prompt: p.txt", "judge": SCORES}
    ask(project, server, graders)
    estimates = {each.grader: each for each in api.estimate(api.plan_recipe(project.recipe))}
    assert (estimates["second"].at_most, estimates["judge"].at_most) == (True, False)
    run = project.run()
    order = [each.stage for each in run.outcomes]
    assert order.index("grading.judge.accuracy") < order.index("grading.second")
    first = scores(run)["judge.accuracy"]
    wanted = {
        f"question {i} None answer {i}\nRight: {ROWS[i]['reference']}\nFirst: {first[f'question {i}']:g}": 1
        for i in range(COUNT)
    }
    asked = server.asked()
    assert {prompt: asked.get(prompt, 0) for prompt in wanted} == wanted
    assert to_send(project) == 0


def test_what_a_column_shows_of_a_row_follows_from_that_row_alone(project: Project, server: Server) -> None:
    project.write("p.txt", "[instruction] [input] [response] <[column:value]>")
    ask(project, server, {"g": f"{HALVES}, prompt: p.txt"})
    rows = [{"instruction": f"q{i}", "output": "a", "value": value} for i, value in enumerate([3, -7, 0, 10**16, None])]
    project.jsonl("data.jsonl", rows)
    project.run()
    assert {prompt.partition("<")[2] for prompt in server.asked()} == {"3>", "-7>", "0>", "10000000000000000>", "None>"}
    for more in (0.25, "n/a"):
        server.reset()
        rows.append({"instruction": f"more {more}", "output": "a", "value": more})
        rows = [row for row in rows if row["value"] != 10**16]
        project.jsonl("data.jsonl", rows)
        project.run()
        assert [prompt.partition("<")[2] for prompt in server.asked()] == [f"{more}>"]


def test_a_column_that_no_source_has_is_an_error_of_the_plan(project: Project, server: Server) -> None:
    project.write("p.txt", "[instruction] [input] [response] [column:referense]")
    ask(project, server, {"second": f"{HALVES}, prompt: p.txt"})
    with pytest.raises(RecipeError, match="no source has a column 'referense', did you mean 'reference'"):
        api.plan_recipe(project.recipe)
    project.write("p.txt", "[instruction] [input] [response] [column:reference]")
    project.jsonl("golden.jsonl", [{"instruction": "i", "response": "r", "score": 1}])
    ask(project, server, {"second": f"{HALVES}, prompt: p.txt, health: {{golden: {{file: golden.jsonl}}}}"})
    text = project.recipe.read_text()
    project.write(
        "recipe.yaml", text.replace("graders:", f"graders:\n  first: {{model: openai/m, base_url: '{server.openai}'}}")
    )
    with pytest.raises(RecipeError, match=r"golden\.jsonl has no column 'reference'"):
        project.run()
    assert server.stats()["requests"] == 0


def test_samples_are_requests_of_their_own_and_the_score_is_their_mean(project: Project, server: Server) -> None:
    server.settings(reply="{times}")
    ask(project, server, {"g": f"{HALVES}, health: {{repeats: {{rows: 4}}}}"})
    once = project.run()
    assert set(scores(once)["g"].values()) == {0.0}
    # Sample 1 has the key of a single request, and sample 2 that of a repeat.
    server.reset()
    server.settings(reply="4")
    ask(project, server, {"g": f"{HALVES}, samples: 3, temperature: 0"})
    run = project.run()
    assert server.stats()["requests"] == 2 * COUNT - 4
    found, spreads = scores(run)["g"], scores(run, "spread")["g"]
    assert sorted(set(found.values())) == [pytest.approx(5 / 3), pytest.approx(8 / 3)]
    assert sum(score == pytest.approx(5 / 3) for score in found.values()) == 4
    assert set(spreads.values()) == {4.0}
    result = run.results["graders"]["g"]
    assert dict(result["samples"]) == {
        "samples": 3,
        "rows": COUNT,
        "differing": COUNT,
        "mean_spread": 4.0,
        "largest_spread": 4.0,
    }
    assert result["calls_made"] + result["calls_reused"] == 3 * COUNT
    for report in ("report.md", "report.html"):
        assert "asked 3 times about each row" in (run.folder / report).read_text(encoding="utf-8")
    assert any("3 samples at temperature 0 are the same reply" in reason["text"] for reason in run.results["reasons"])


def test_samples_of_several_scores_in_batches_and_by_turns(project: Project, server: Server) -> None:
    server.settings(reply='{"accuracy": {times}, "helpfulness": 5}')
    words = f"{SCORES}, structured: false, samples: 2, temperature: 1, each: turn, combine: mean, mode: batch, poll_seconds: 0.05"
    ask(project, server, {"judge": f"{words}, pilot: 3"})
    run = project.run()
    assert set(scores(run)["judge.helpfulness"].values()) == {5.0}
    assert set(scores(run, "spread")["judge.helpfulness"].values()) == {0.0}
    turns = run.turn_grades.polars()
    assert set(turns["grader"]) == {"judge.accuracy", "judge.helpfulness"}
    assert len(turns) == 2 * COUNT
    assert run.results["graders"]["judge"]["calls_made"] == 2 * COUNT
    server.reset()
    assert project.run().results["graders"]["judge"]["calls_made"] == 0
    assert server.stats()["requests"] == 0


def test_samples_with_thinking_are_no_same_reply(project: Project, server: Server) -> None:
    ask(
        project,
        server,
        {"g": f"{HALVES}, samples: 2, parameters: {{thinking: {{type: enabled, budget_tokens: 2000}}}}"},
    )
    text = project.recipe.read_text().replace("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5")
    project.write("recipe.yaml", text.replace(server.openai, server.anthropic))
    assert not api.plan_recipe(project.recipe).notes


def test_a_calibrated_score_of_samples_has_its_spread_and_its_raw_score(project: Project, server: Server) -> None:
    server.settings(reply="{score}")
    people = [{"instruction": f"p{i}", "response": "r", "reference": "x", "score": i % 11 / 2} for i in range(40)]
    project.jsonl("people.jsonl", people)
    project.write("p.txt", "[instruction] [input] [response] [column:reference]")
    words = f"{HALVES}, samples: 2, temperature: 1, prompt: p.txt, calibrate: {{file: people.jsonl}}"
    ask(project, server, {"g": words, "plain": HALVES})
    run = project.run()
    grades = run.grades.polars()
    assert {"spread", "raw"} <= set(grades.columns)
    assert set(grades.filter(pl.col("grader") == "g")["spread"]) == {0.0}
    assert set(grades.filter(pl.col("grader") == "plain")["raw"]) == {None}


def test_a_sample_without_a_score_leaves_the_row_without_one(project: Project, server: Server) -> None:
    server.settings(rows={"question 7": "prose"})
    ask(project, server, {"g": f"{HALVES}, samples: 2, temperature: 1"})
    run = project.run()
    assert [text for text, score in scores(run)["g"].items() if score is None] == ["question 7"]
    assert run.results["graders"]["g"]["unscored_reasons"] == {"no number": 1}


TOKENS = ["<|im_start|>", "<|eot_id|>", "[INST]", "<start_of_turn>", "<｜User｜>", "<<SYS>>"]
PLAIN = ["a <b> c", "if (a < b || c > d)", "[INSTALL]", "<|>", "List[INT]", "<start>"]


def test_rows_with_a_chat_templates_tokens_are_counted_and_stay(project: Project, server: Server) -> None:
    texts = [*(f"answer {token} more" for token in TOKENS), *PLAIN]
    ask(project, server, {"g": f"{HALVES}, fence: true"}, "rules: [chat_templates]\ndatasets: {full: {}}")
    project.jsonl("data.jsonl", [{"instruction": f"q{i}", "output": text} for i, text in enumerate(texts)])
    run = project.run()
    (found,) = [check for check in run.results["graders"]["g"]["health"] if check["check"] == "template_tokens"]
    assert (found["value"], found["state"]) == (len(TOKENS), "warn")
    assert [(rule["id"], rule["failing_rows"], rule["state"]) for rule in run.results["rules"]] == [
        ("chat_template_tokens", len(TOKENS), "warn")
    ]
    assert run.results["datasets"]["full"]["rows"] == len(texts)
    for prompt in server.asked():
        marks = set(re.findall(r"<<<response ([0-9a-f]{16})", prompt))
        assert len(marks) == 1
        assert prompt.count(marks.pop()) == 4


def test_results_follow_their_schema(project: Project, server: Server) -> None:
    from jsonschema import Draft7Validator

    from alpaqual.results.results import results_schema

    ask(project, server, {"judge": f"{SCORES}, samples: 2, temperature: 1"})
    run = project.run()
    Draft7Validator(results_schema()).validate(json.loads((run.folder / "results.json").read_text(encoding="utf-8")))
    assert api.open_run(run.folder).results["graders"]["judge.accuracy"]["samples"]["samples"] == 2


def test_rows_that_people_scored_and_the_data_has_count_once(project: Project, server: Server) -> None:
    project.jsonl(
        "people.jsonl",
        [{"instruction": f"question {i}", "response": f"answer {i}", "score": i % 11 / 2} for i in range(COUNT)],
    )
    cheap = f"{HALVES}, price: {{input: 1, output: 1}}"
    golden = "calibrate: {file: people.jsonl}, health: {golden: {file: people.jsonl}}"
    ask(
        project,
        server,
        {"g": f"{cheap}, {golden}", "h": f"{cheap}, samples: 2, cascade: {{first: g, threshold: 2.7, band: 1}}"},
    )
    (planned, _) = api.estimate(api.plan_recipe(project.recipe))
    assert (planned.grader, planned.calls) == ("g", COUNT)
    first = project.run().results["graders"]
    assert (first["g"]["calls_made"], first["g"]["calls_reused"], first["g"]["bought_usd"]) == (COUNT, 0, 0)
    assert first["h"]["cascade"]["saved_calls"] == 2 * first["h"]["cascade"]["taken_over"]
    again = project.run().results["graders"]
    assert (again["g"]["calls_made"], again["g"]["calls_reused"]) == (0, COUNT)
    assert again["g"]["bought_usd"] == first["g"]["cost_usd"] > 0


def test_a_plan_counts_the_requests_after_replies_without_a_score(project: Project, server: Server) -> None:
    server.settings(reply="Verdict: {score}\nThat is all.")
    ask(project, server, {"g": f"{HALVES}, reply: '^Verdict: (.+)$'"})
    project.run()
    project.write("recipe.yaml", project.recipe.read_text().replace("'^Verdict: (.+)$'", "last_line"))
    assert to_send(project) == COUNT
    server.settings(reply="{score}")
    server.reset()
    assert project.run().results["graders"]["g"]["calls_made"] == COUNT == server.stats()["requests"]
    assert to_send(project) == 0
