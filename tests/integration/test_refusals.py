"""Whose an error is, by what came before: a row's, or that of every request. Against a real server over the loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from loopback import Server

from alpaqual.api import Run
from alpaqual.errors import StageError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_pauses")]

SCALE = "scale: {min: 0, max: 5, step: 0.5}"
KINDS: dict[str, Any] = {
    "budget": {
        "status": 400,
        "body": {"error": {"message": "Budget has been exceeded!", "type": "budget_exceeded", "code": "400"}},
    },
    "no_db": {
        "status": 400,
        "body": {"error": {"message": "No connected db.", "type": "no_db_connection", "code": "400"}},
    },
    "gemini": {
        "status": 400,
        "body": [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}],
    },
    "unknown": {"status": 400, "body": {"error": {"message": "Kontingent erschöpft, Anfrage 4711"}}},
    "denied": {"status": 403, "body": {"error": {"code": 403, "message": "Not for you"}}},
    "flagged": {"status": 200, "body": {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}},
    "inside": {"status": 200, "body": {"error": {"code": 502, "message": "Provider returned error"}}},
    "tomorrow": {
        "status": 429,
        "body": {"error": {"message": "Daily limit"}},
        "headers": {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9h12m0s"},
    },
}


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    running.forget()
    running.restore(kinds=KINDS)
    return running


def ask(project: Project, server: Server, count: int, words: str = "") -> Path:
    """A recipe whose grader `g` sends requests about `count` rows to the server."""
    rows = [{"instruction": f"Question <{i}> of many", "output": f"Answer {i}."} for i in range(count)]
    project.jsonl("d.jsonl", rows)
    grader = f"{{model: openai/gpt-4o-mini, base_url: '{server.openai}', {SCALE}{', ' + words if words else ''}}}"
    return project.ask("d.jsonl", f"graders: {{g: {grader}}}", datasets="{good: {threshold: {g: 3}}}")


def requests(server: Server) -> int:
    """Requests since this was last asked."""
    total = int(server.stats()["prompts"])
    server.reset()
    return total


def found(run: Run) -> dict[str, Any]:
    return dict(run.results["graders"]["g"])


@pytest.mark.parametrize(
    ("kind", "most", "says"),
    [
        ("budget", 3, "no money"),
        ("no_db", 3, "No connected db"),
        ("gemini", 3, "API key not valid"),
        ("unknown", 5, "Kontingent"),
        ("denied", 3, "Not for you"),
    ],
)
def test_a_gateway_that_refuses_everything_with_400_stops_the_run_and_no_row_is_final(
    project: Project, server: Server, kind: str, most: int, says: str
) -> None:
    server.settings(all=kind)
    ask(project, server, 60)
    with pytest.raises(StageError, match=says):
        project.run()
    assert requests(server) == most
    server.settings(all=None)
    run = project.run()
    assert (found(run)["scored"], run.exit_code, requests(server)) == (60, 0, 60)


@pytest.mark.parametrize("kind", ["budget", "unknown", "denied"])
def test_a_budget_that_ends_in_the_middle_stops_the_run(project: Project, server: Server, kind: str) -> None:
    server.settings(after=[40, kind])
    ask(project, server, 150, "concurrency: 8")
    with pytest.raises(StageError, match=r"5 requests in a row.*completed replies are not billed again"):
        project.run()
    assert requests(server) <= 40 + 5 + 8
    server.settings(after=[])
    run = project.run()
    assert (found(run)["scored"], run.exit_code) == (150, 0)
    assert requests(server) == 110


def test_a_budget_that_ends_with_the_last_rows_leaves_them_to_the_next_run(project: Project, server: Server) -> None:
    server.settings(after=[37, "budget"])
    ask(project, server, 40, "concurrency: 2, pilot: 0")
    assert project.run().exit_code == 4
    server.settings(after=[])
    run = project.run()
    assert (found(run)["scored"], run.exit_code) == (40, 0)


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_refusals_of_single_rows_among_replies_are_the_rows(project: Project, server: Server, mode: str) -> None:
    # Rows of the pilot: the others are sent after them. A denial of the last request of a run proves nothing of its row.
    bad = {"<7>": "denied", "<21>": "unauthorized", "<38>": "not_found", "<41>": "budget", "<50>": "unknown"}
    server.settings(rows=bad)
    ask(project, server, 80, f"concurrency: 8, mode: {mode}, poll_seconds: 0.05")
    run = project.run()
    assert (found(run)["scored"], found(run)["unscored"], run.exit_code) == (75, 5, 0)
    reasons = " | ".join(found(run)["unscored_reasons"])
    for words in ("Not for you", "Incorrect API key", "model does not exist", "Budget has been exceeded", "Kontingent"):
        assert words in reasons


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_a_row_that_was_refused_for_good_is_not_asked_again(project: Project, server: Server, mode: str) -> None:
    server.settings(rows={"<7>": "context_length", "<21>": "content_filter", "<34>": "flagged", "<50>": "invalid"})
    words = f"concurrency: 8, mode: {mode}, poll_seconds: 0.05"
    ask(project, server, 60, words)
    first = project.run()
    assert (found(first)["scored"], found(first)["unscored"], first.exit_code) == (56, 4, 0)
    assert requests(server) == 60
    # New rows make a new stage, which asks about them alone.
    ask(project, server, 70, words)
    again = project.run()
    assert (found(again)["scored"], found(again)["unscored"], again.exit_code) == (66, 4, 0)
    assert found(again)["unscored_reasons"] == found(first)["unscored_reasons"]
    assert requests(server) == 10
    offline = project.run(offline=True, sets=["graders.g.concurrency=4"])
    assert (found(offline)["unscored"], offline.exit_code, requests(server)) == (4, 0, 0)
    # Other settings are another request.
    server.settings(rows={})
    other = project.run(sets=["graders.g.temperature=0.5"])
    assert (found(other)["scored"], requests(server)) == (70, 70)
    # The ledger's own files hold replies alone.
    for file in (project.folder / ".alpaqual/replies").glob("*.jsonl"):
        assert all("text" in json.loads(line) for line in file.read_text().splitlines())


def test_an_error_with_status_200_is_retried_as_that_error(project: Project, server: Server) -> None:
    server.settings(rows={"<3>": ["inside", 2]})
    ask(project, server, 10)
    run = project.run()
    assert (found(run)["scored"], run.exit_code, requests(server)) == (10, 0, 12)


@pytest.mark.parametrize("mode", ["online", "batch"])
def test_a_pause_beyond_patience_is_said_at_once(project: Project, server: Server, mode: str) -> None:
    server.settings(all="tomorrow")
    ask(project, server, 30, f"mode: {mode}")
    started = time.monotonic()
    with pytest.raises(StageError, match=r"asks to wait 33,120 s, longer than patience_seconds \(120\)"):
        project.run()
    assert time.monotonic() - started < 20
    assert requests(server) == 1


def test_sigterm_keeps_what_control_c_keeps(project: Project, server: Server) -> None:
    server.settings(latency_ms=200)
    ask(project, server, 200, "concurrency: 8")
    words = [sys.executable, "-m", "alpaqual", "run", str(project.recipe)]
    process = subprocess.Popen(words, cwd=project.folder, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while int(server.stats()["prompts"]) < 12:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 143, errors
    assert "run again to resume" in errors
    assert "Traceback" not in errors
    files = (project.folder / ".alpaqual/replies").glob("*.jsonl")
    assert sum(len(file.read_text().splitlines()) for file in files) == requests(server)
