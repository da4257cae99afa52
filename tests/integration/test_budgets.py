"""Budgets against a real server: what it bills is compared with the limit, with processes at once, kills and odd bills."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from typing import Any

import pytest
from conftest import Project
from loopback import Server
from test_live import ask, found, key, requests, rows, server, start, wait_for  # noqa: F401 - key and server are fixtures
from tiers import moments

from alpaqual.errors import StageError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_pauses")]

PRICE = "price: {input: 1000, output: 1000}"
MOST = 0.116
"""US dollars of the most expensive reply: 100 tokens in, 16 out."""


def bill(server: Server) -> float:  # noqa: F811
    """US dollars that the server bills for all that it has read and written."""
    stats = server.stats()
    return float(stats["input_tokens"] + stats["output_tokens"]) / 1000


def replies(project: Project, folder: str = "") -> list[dict[str, Any]]:
    """The entries of the ledger, or of a folder in it."""
    files = (project.folder / ".alpaqual/replies" / folder).glob("*.jsonl")
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def lost(project: Project) -> list[dict[str, Any]]:
    return replies(project, "lost")


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_at_once_never_pass_a_budget(project: Project, server: Server, processes: int) -> None:  # noqa: F811
    server.settings(input_tokens=100, output_tokens=[1, 16], latency_ms=60)
    ask(project, server, 150, f"{PRICE}, budget_usd: 5, pilot: 0, concurrency: 8")
    running = [start(project, "--out", str(project.folder / f"run-{number}")) for number in range(processes)]
    for process in running:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 4, errors
        assert "budget_usd of g of $5.00 reached" in errors
    assert 5 - 2 * MOST <= bill(server) <= 5 + MOST
    assert lost(project) == []


def test_processes_at_once_finish_with_a_budget_that_is_just_enough(project: Project, server: Server) -> None:  # noqa: F811
    """Each waits while the other may free money, and no reservation is held for good."""
    server.settings(input_tokens=100, output_tokens=10, latency_ms=30)
    ask(project, server, 60, f"{PRICE}, budget_usd: 6.65, pilot: 0, concurrency: 16")
    running = [start(project, "--out", str(project.folder / f"run-{number}")) for number in range(2)]
    for process in running:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert bill(server) == pytest.approx(6.6)


def test_killed_again_and_again_it_stays_within_its_budget(project: Project, server: Server) -> None:  # noqa: F811
    """What was in flight counts at its most; no reply is bought twice, and none is lost."""
    budget, flying = 12.0, 4
    server.settings(input_tokens=100, output_tokens=[1, 16], latency_ms=25)
    ask(project, server, 400, f"{PRICE}, budget_usd: {budget}, pilot: 0, concurrency: {flying}")
    chance, kills = random.Random(5), 0
    for _ in moments(3, 40):
        before = int(server.stats()["requests"])
        process = start(project)
        wait_for(lambda was=before, it=process: int(server.stats()["requests"]) > was + 3 or it.poll() is not None)
        time.sleep(chance.uniform(0, 0.1))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills
    with pytest.raises(StageError, match=r"budget_usd of g of \$12\.00 reached.*whose reply was lost"):
        project.run()
    assert bill(server) <= budget + MOST
    entries = replies(project)
    assert len({entry["key"] for entry in entries}) == len(entries)
    assert int(server.stats()["answered"]) - len(entries) <= kills * flying
    counted = sum(entry["cost_usd"] for entry in entries) + sum(entry["usd"] for entry in lost(project))
    assert budget - 2 * MOST <= counted <= budget + MOST
    assert server.stats()["answered_again"] <= kills * flying


def test_replies_of_a_time_without_a_price_count_when_there_is_one(project: Project, server: Server) -> None:  # noqa: F811
    server.settings(input_tokens=100, output_tokens=10)  # 0.11 dollars a call
    model = "openai/a-model-of-our-own"
    ask(project, server, 30, provider=model)
    done = project.command("run", project.recipe)
    assert "at an unknown cost: no price is listed, write 'price:'" in done.stdout
    report = (project.folder / "runs/trial/report.md").read_text()
    assert "The cost of g is unknown" in report
    assert requests(server) == 30
    ask(project, server, 80, f"{PRICE}, budget_usd: 5", provider=model)
    with pytest.raises(StageError, match=r"budget_usd of g of \$5\.00 reached: \$4\.\d\d spent"):
        project.run()
    assert requests(server) == 15
    run = project.run(sets=["graders.g.budget_usd=9"])
    assert found(run)["bought_usd"] + found(run)["cost_usd"] == pytest.approx(8.8)
    assert found(run)["priced"]


FILTERED = {
    "status": 200,
    "body": {
        "model": "m",
        "choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 16, "total_tokens": 116},
    },
}


def test_what_gives_no_reply_counts(project: Project, server: Server) -> None:  # noqa: F811
    """A filtered reply by its usage; a timeout and a broken reply at their most, each time."""
    server.settings(
        input_tokens=100,
        output_tokens=1,
        kinds={"filtered": FILTERED},
        rows={"<1>": "filtered", "<2>": ["hang", 1], "<3>": ["truncated", 1], "<4>": ["error", 1]},
    )
    ask(project, server, 10, f"{PRICE}, budget_usd: 50, timeout_seconds: 0.5")
    run = project.run()
    reasons = sorted(entry["reason"] for entry in lost(project))
    assert reasons == ["broken reply", "content filter", "timeout"]
    assert next(entry["usd"] for entry in lost(project) if entry["reason"] == "content filter") == pytest.approx(0.116)
    assert found(run)["lost_usd"] == pytest.approx(sum(entry["usd"] for entry in lost(project)))
    assert found(run)["cost_usd"] == pytest.approx(9 * 0.101 + found(run)["lost_usd"])
    shown = project.command("replies", "show", project.folder).stdout
    assert f"count ${found(run)['lost_usd']:,.4f} against budgets: 3 entries in lost/" in shown
    spent = found(run)["cost_usd"]
    ask(project, server, 12, f"{PRICE}, budget_usd: {spent + 0.05}")
    with pytest.raises(StageError, match="of it for requests whose reply was lost"):
        project.run()


def test_a_model_that_ignores_max_tokens_stays_within_a_budget(project: Project, server: Server) -> None:  # noqa: F811
    server.settings(input_tokens=10, output_tokens=[180, 200], latency_ms=20)
    ask(project, server, 80, f"{PRICE}, budget_usd: 5, pilot: 0, concurrency: 8")
    with pytest.raises(StageError, match="budget_usd"):
        project.run()
    assert 5 - 3 * 0.21 <= bill(server) <= 5 + 0.21


def test_a_prompt_that_is_ordered_for_caches(project: Project, server: Server) -> None:  # noqa: F811
    """Anthropic gets a mark behind what all requests have in common; the report has what the cache saved."""
    more = {"cache_read_input_tokens": 900, "cache_creation_input_tokens": 0}
    server.settings(record=True, input_tokens=100, output_tokens=10, usage_more=more)
    words = "price: {input: 10, output: 10, cache_read: 1, cache_write: 12.5}"
    ask(project, server, 3, f"cache: true, {words}", provider="anthropic/claude-haiku-4-5")
    run = project.run()
    bodies = server.stats()["bodies"]
    assert len({json.dumps(body["system"]) for body in bodies}) == 1
    assert bodies[0]["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert "Question <0>" not in json.dumps(bodies[0]["system"])
    assert found(run)["cost_usd"] == pytest.approx(3 * (900 * 1 + 100 * 10 + 10 * 10) / 1e6)
    assert (found(run)["input_tokens"], found(run)["cache_read_tokens"]) == (3000, 2700)
    assert found(run)["cache_saved_usd"] == pytest.approx(3 * 900 * 9 / 1e6)
    said = "cache gave 2,700 of 3,000 input tokens of g and took 0 in, which saved &#36;0.024."
    assert said in (run.folder / "report.md").read_text().replace("\\", "")
    requests(server)
    assert found(project.run())["calls_reused"] == 3
    assert requests(server) == 0
    ask(project, server, 3, words, provider="anthropic/claude-haiku-4-5")
    project.run()
    assert requests(server) == 3


def test_examples_are_marked_as_well(project: Project, server: Server) -> None:  # noqa: F811
    server.settings(record=True)
    example = "examples: [{instruction: one, response: two, score: 1.5}]"
    ask(project, server, 1, f"cache: true, {example}", provider="anthropic/claude-haiku-4-5")
    project.run()
    (body,) = server.stats()["bodies"]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert isinstance(body["system"], str)


def test_what_a_cache_holds_is_in_the_ledger(project: Project, server: Server) -> None:  # noqa: F811
    server.settings(input_tokens=1000, usage_more={"prompt_tokens_details": {"cached_tokens": 768}})
    ask(project, server, 2)
    first = project.run()
    assert found(first)["cache_read_tokens"] == 2 * 768
    project.jsonl("d.jsonl", rows(2)[::-1])
    again = project.run()
    assert (found(again)["calls_reused"], found(again)["cache_read_tokens"]) == (2, 2 * 768)
    assert found(again)["bought_usd"] == pytest.approx(found(first)["cost_usd"])


def test_a_batch_of_a_killed_process_counts_once(project: Project, server: Server) -> None:  # noqa: F811
    """Its reservation is made again by the process that resumes it, and is not lost."""
    server.settings(input_tokens=100, output_tokens=10, batch_seconds=1.5)
    ask(project, server, 30, f"{PRICE}, budget_usd: 3, pilot: 5, mode: batch, poll_seconds: 0.2")
    process = start(project)
    wait_for(lambda: len(server.batches()) == 1 and any((project.folder / ".alpaqual/replies/batches").glob("*")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    run = project.run()
    assert run.exit_code == 0
    assert found(run)["cost_usd"] + found(run)["bought_usd"] == pytest.approx(5 * 0.11 + 25 * 0.055)
    assert lost(project) == []
    ask(project, server, 100, f"{PRICE}, budget_usd: 3, pilot: 5, mode: batch, poll_seconds: 0.2")
    with pytest.raises(StageError, match=r"budget_usd of g of \$3\.00 reached: \$2\.\d+ spent"):
        project.run()
    assert 2.8 <= sum(entry["cost_usd"] for entry in replies(project)) <= 3
