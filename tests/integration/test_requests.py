"""Runs against servers that want requests in their own way: names, temperatures, the Responses API, log-probabilities."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Project
from loopback import Server, score_of

from alpaqual.api import Run
from alpaqual.errors import StageError

pytestmark = pytest.mark.slow

LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
SAMPLING = (
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
)
RESPONSES = "This model is only supported in v1/responses and not in v1/chat/completions."
ROWS = 60


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
    running.restore(record=True)
    return running


def run(project: Project, server: Server, words: str = "", *, provider: str = "openai/o9", count: int = ROWS) -> Run:
    """A run with a grader that has these keys besides."""
    rows = [{"instruction": f"Question <{at}>", "output": f"Answer {at}."} for at in range(count)]
    project.jsonl("d.jsonl", rows)
    url = server.anthropic if provider.startswith("anthropic") else server.openai
    scale = "" if "scale" in words else "scale: {min: 0, max: 5, step: 0.5}, "
    grader = f"{{model: {provider}, base_url: '{url}', {scale}concurrency: 32{', ' + words if words else ''}}}"
    project.ask("d.jsonl", f"graders: {{g: {grader}}}", datasets="{good: {threshold: {g: 3}}}")
    return project.run()


def grader(run: Run) -> dict[str, Any]:
    return dict(run.results["graders"]["g"])


def reasons(run: Run) -> str:
    return "\n".join(reason["text"] for reason in run.results["reasons"])


@pytest.mark.parametrize(
    ("settings", "more", "said"),
    [
        ({"refuses": {"max_tokens": LIMIT, "temperature": SAMPLING}}, 2, "refuses a temperature"),
        ({"refuses": {"max_tokens": LIMIT}}, 1, ""),
        ({"responses_only": RESPONSES}, 1, ""),
        ({"responses_only": RESPONSES, "refuses": {"temperature": SAMPLING}}, 2, "refuses a temperature"),
    ],
)
def test_a_run_finds_out_once_how_the_server_wants_requests(
    project: Project, server: Server, settings: dict[str, Any], more: int, said: str
) -> None:
    server.settings(latency_ms=5, **settings)

    first = run(project, server)

    assert (grader(first)["scored"], grader(first)["calls_made"], first.exit_code) == (ROWS, ROWS, 0)
    assert server.stats()["requests"] == ROWS + more
    assert said in reasons(first)
    assert bool(said) == ("write 'temperature: null'" in reasons(first))

    server.restore(record=True)
    again = run(project, server, "token_limit: max_completion_tokens, headers: {X-Title: grading}")
    assert (grader(again)["scored"], server.stats()["requests"]) == (ROWS, 0)


def test_without_a_temperature_nothing_is_said(project: Project, server: Server) -> None:
    server.settings(refuses={"temperature": SAMPLING})

    found = run(project, server, "temperature: null")

    assert (found.verdict, server.stats()["requests"]) == ("pass", ROWS)


def test_batches_find_it_out_too(project: Project, server: Server) -> None:
    server.settings(refuses={"temperature": SAMPLING})

    found = run(project, server, "mode: batch, poll_seconds: 0.1, pilot: 0")

    assert (grader(found)["scored"], grader(found)["calls_made"], found.exit_code) == (ROWS, ROWS, 0)
    assert [batch["rows"] for batch in server.batches()][-2:] == [ROWS, ROWS]
    assert "refuses a temperature" in reasons(found)


def test_other_parameters_are_other_requests(project: Project, server: Server) -> None:
    for effort in ("low", "high", "low"):
        found = run(project, server, f"parameters: {{reasoning_effort: {effort}, extra_body: {{top_k: 20}}}}", count=5)
        assert grader(found)["scored"] == 5

    bodies = server.stats()["bodies"]
    assert [body["reasoning_effort"] for body in bodies] == ["low"] * 5 + ["high"] * 5
    assert all((body["top_k"], body["max_tokens"]) == (20, 4096 + 16) for body in bodies)


def test_a_refused_request_is_sent_again_with_other_headers(project: Project, server: Server) -> None:
    refusal = {"error": {"message": "This request is odd", "type": "invalid_request_error"}}
    server.settings(kinds={"odd": {"status": 400, "body": refusal}}, rows={"<1>": "odd"})
    asked = []
    # One more row each time: a stage whose rows are the same is not done again.
    for count, words in enumerate(
        ("", "", "headers: {X-Team: a}", "headers: {X-Team: a}", "token_limit: max_tokens"), 5
    ):
        run(project, server, words, count=count)
        asked.append(server.stats()["requests"])
        server.reset()
    assert asked == [5, 1, 2, 1, 2]


def test_thinking_of_anthropic(project: Project, server: Server) -> None:
    thinking = "parameters: {thinking: {type: enabled, budget_tokens: 2000}}"

    assert grader(run(project, server, thinking, provider="anthropic/claude-9", count=5))["scored"] == 5

    for body in server.stats()["bodies"]:
        assert (body["max_tokens"], body["thinking"]["budget_tokens"], "temperature" in body) == (2016, 2000, False)


def test_a_score_is_the_expectation_of_log_probabilities(project: Project, server: Server) -> None:
    server.settings(reply="{score}")
    scale = "scale: {min: 0, max: 6, step: 0.5}, scoring: expectation"

    found = run(project, server, scale)

    rows = found.grades.polars().to_dicts()
    prompts = list(server.asked())
    written = sorted(score_of(prompt) for prompt in prompts)
    # The digit has 0.75, the next one 0.25, which stands for both of its half steps.
    expected = [0.75 * score + 0.25 * (int(score) + (1.25 if score < 5 else 1.0)) for score in written]
    assert sorted(row["score"] for row in rows) == pytest.approx(sorted(expected), abs=1e-5)
    assert all('"probabilities"' in row["reply"] for row in rows)
    run(project, server, scale)
    assert server.stats()["requests"] == grader(found)["calls_made"] == len(prompts)


@pytest.mark.parametrize(
    "words", ["parameters: {top_p: 0.5}", "scoring: expectation, scale: {min: 0, max: 6, step: 0.5}"]
)
def test_recorded_replies_answer_the_same_requests(project: Project, server: Server, words: str) -> None:
    server.settings(reply="{score}")
    first = run(project, server, words, count=5)
    recorded = project.recipe.read_text().replace("model: openai/o9", "model: recorded/.alpaqual/replies")
    project.recipe.write_text(recorded.replace(f"base_url: '{server.openai}', ", ""))
    server.reset()

    again = project.run()

    assert (server.stats()["requests"], grader(again)["scored"]) == (0, grader(first)["scored"])
    assert grader(again)["histogram"] == grader(first)["histogram"]


def test_a_server_without_log_probabilities_ends_the_run(project: Project, server: Server) -> None:
    server.settings(logprobs=False)

    with pytest.raises(StageError, match=r"the server gives no log-probabilities: scoring: expectation needs them"):
        run(project, server, "scoring: expectation")

    assert server.stats()["requests"] <= 5
