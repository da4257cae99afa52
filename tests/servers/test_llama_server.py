"""Rows graded by a real small model behind llama.cpp's server, with the faults that this server has of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest
from conftest import Project

from alpaqual.errors import StageError
from servers import MODEL, LlamaServer
from servers.grading import KEY, STRUCTURED, ask, found, real_rows, reasons, replies

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_pauses")]

OPENAI, ANTHROPIC = f"openai/{MODEL}", f"anthropic/{MODEL}"


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    with LlamaServer(keys=(KEY,)) as server:
        yield server


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def test_real_rows_are_graded_once(project: Project, llama: LlamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(project, real_rows(20), OPENAI, llama.openai)
    run = project.run()
    assert (run.exit_code, found(run)["models"]) == (0, [OPENAI])
    assert (found(run)["scored"], found(run)["calls_made"]) == (20, 20)
    kept = replies(project)
    assert {float(reply["text"]) * 2 % 1 for reply in kept} == {0}
    assert {reply["finish_reason"] for reply in kept} == {"stop"}
    assert all(10 < reply["input_tokens"] < 500 and 0 < reply["output_tokens"] <= 4 for reply in kept)
    assert found(run)["output_tokens"] == sum(reply["output_tokens"] for reply in kept)
    # The server refuses this key, so that any request would stop the run.
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    again = project.run()
    assert (again.exit_code, found(again)["calls_made"], found(again)["calls_reused"]) == (0, 0, 20)
    assert found(again)["histogram"] == found(run)["histogram"]


def test_a_schema_gives_every_row_a_score_on_a_step(project: Project, llama: LlamaServer) -> None:
    ask(project, real_rows(2), OPENAI, llama.openai, STRUCTURED)
    run = project.run()
    assert (found(run)["scored"], found(run)["calls_made"]) == (2, 2)
    assert {float(json.loads(reply["text"])["score"]) * 2 % 1 for reply in replies(project)} == {0}


@pytest.mark.parametrize(
    ("model", "finish_reasons"), [(OPENAI, ["length", "stop"]), (ANTHROPIC, ["max_tokens", "end_turn"])]
)
def test_a_cut_reply_is_asked_for_once_more(
    project: Project, llama: LlamaServer, model: str, finish_reasons: list[str]
) -> None:
    ask(project, real_rows(6)[5:], model, llama.openai if model == OPENAI else llama.url, "max_tokens: 4")
    run = project.run()
    kept = replies(project)
    assert [reply["finish_reason"] for reply in kept] == finish_reasons
    assert kept[0]["output_tokens"] == 4 < kept[1]["output_tokens"]
    assert (found(run)["models"], found(run)["calls_made"], reasons(run)) == ([model], 2, {"no number": 1})


def test_logprobs_show_what_a_grammar_hides(project: Project, llama: LlamaServer) -> None:
    """The reply is a digit, since the grammar allows nothing else; the probabilities are those of the model, which was to write prose."""
    scale = "scale: {min: 0, max: 5, step: 1}"
    grammar = "parameters: {extra_body: {grammar: 'root ::= [0-5]'}}"
    ask(project, real_rows(2), OPENAI, llama.openai, f"scoring: expectation, {scale}, {grammar}")
    run = project.run()
    assert (found(run)["calls_made"], reasons(run)) == (2, {"no number": 2})
    kept = [json.loads(reply["text"]) for reply in replies(project)]
    assert all(reply["score"] is None and reply["reply"] in "012345" for reply in kept)


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
def test_a_row_longer_than_the_context_is_its_own_fault(project: Project, llama: LlamaServer, model: str) -> None:
    long = {"instruction": "Count.", "input": "", "output": "one " * 3000}
    ask(project, [long, *real_rows(1)], model, llama.openai if model == OPENAI else llama.url)
    run = project.run()
    assert (run.exit_code, found(run)["calls_made"] > 0) == (0, True)
    assert reasons(run)["refused by the server (400)"] == 1
    (refused,) = (project.folder / ".alpaqual" / "replies" / "refused").glob("*.jsonl")
    assert "exceeds the available context size" in refused.read_text()
    # It is not sent again.
    again = project.run()
    assert (again.exit_code, found(again)["calls_made"]) == (0, 0)
    assert reasons(again) == reasons(run)


def test_a_wrong_key_stops_the_run(project: Project, llama: LlamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    ask(project, real_rows(20), OPENAI, llama.openai)
    before = llama.log().count("unauthorized")
    done = project.command("run", project.recipe)
    assert done.returncode == 4
    assert "the key is refused" in done.stderr
    assert llama.log().count("unauthorized") - before == 3
    assert replies(project) == []


def test_a_server_that_ends_and_starts_again_leaves_no_row_unscored(project: Project) -> None:
    servers = [LlamaServer()]
    servers[0].wait()
    statuses: set[int] = set()

    def restart() -> None:
        end = time.monotonic() + 60
        while len(replies(project)) < 1 and time.monotonic() < end:
            time.sleep(0.01)
        servers[0].stop()
        time.sleep(0.3)
        servers.append(LlamaServer(port=servers[0].port))
        statuses.update(servers[1].statuses())

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        ask(project, real_rows(3), OPENAI, servers[0].openai)
        run = project.run()
    finally:
        thread.join()
        for server in servers:
            server.stop()
    assert (run.exit_code, found(run)["scored"], found(run)["calls_made"]) == (0, 3, 3)
    assert len(replies(project)) == 3
    assert statuses == {0, 503, 200}  # While it reads the model's file, it answers 503.


def test_a_server_that_does_not_come_back_ends_the_run(project: Project) -> None:
    server = LlamaServer()
    server.stop()
    ask(project, real_rows(3), OPENAI, server.openai, "patience_seconds: 1")
    with pytest.raises(StageError, match="no connection"):
        project.run()
