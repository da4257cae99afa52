"""Graders that ask a real server over the loopback: faults, reuse, money, and processes that end in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from loopback import Server
from tiers import NIGHTLY, moments

from alpaqual.api import Run
from alpaqual.errors import MachineError, StageError
from alpaqual.execution.folder import MARKER
from alpaqual.inference.client import clean
from alpaqual.store.locking import is_being_written
from alpaqual.values import Reply

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_pauses")]

KEY = "sk-very-secret"
SCALE = "scale: {min: 0, max: 5, step: 0.5}"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"instruction": f"Question <{i}> of many", "output": f"Answer {i}."} for i in range(start, start + count)]


def ask(
    project: Project,
    server: Server,
    count: int = 100,
    words: str = "",
    more: str = "",
    *,
    provider: str = "openai/gpt-4o-mini",
) -> Path:
    """A recipe whose grader `g` sends requests about `count` rows to the server."""
    project.jsonl("d.jsonl", rows(count))
    url = server.anthropic if provider.startswith("anthropic") else server.openai
    grader = f"  g: {{model: {provider}, base_url: '{url}', {SCALE}{', ' + words if words else ''}}}"
    return project.ask("d.jsonl", f"graders:\n{grader}\n{more}".rstrip(), datasets="{good: {threshold: {g: 3}}}")


def requests(server: Server) -> int:
    """Requests since this was last asked."""
    total = int(server.stats()["requests"])
    server.reset()
    return total


def found(run: Run) -> dict[str, Any]:
    return dict(run.results["graders"]["g"])


# Faults

MIXED = dict.fromkeys(
    (
        "throttle",
        "throttle_bare",
        "error",
        "unavailable",
        "reset",
        "drop",
        "hang",
        "truncated",
        "html",
        "empty",
        "prose",
    ),
    0.05 / 11,
)


@pytest.mark.parametrize("provider", ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"])
def test_with_faults_of_every_kind_every_row_ends_scored(project: Project, server: Server, provider: str) -> None:
    server.settings(faults=MIXED, retry_after=0.05, latency_ms=2, seed=3)
    ask(project, server, 1_000, "concurrency: 32, timeout_seconds: 1", provider=provider)
    run = project.run()
    assert (run.verdict, run.exit_code) == ("pass", 0)
    assert (found(run)["scored"], found(run)["unscored"]) == (1_000, 0)
    assert found(run)["calls_made"] >= 1_000
    assert requests(server) > 1_020  # the faults were there


NEVER = ["error", "prose", "empty", "reset", "refusal", "truncated"]


def test_rows_without_a_reply_are_reported_and_retried(project: Project, server: Server) -> None:
    bad = {f"<{i * 7}>": NEVER[i % len(NEVER)] for i in range(26)}
    server.settings(rows=bad)
    ask(project, server, 300, "concurrency: 16")
    run = project.run()
    lacking = {f"Question {name} of many" for name in bad}
    named = [row for row in run.rows(fate="unscored", limit=1000)]
    assert {row["instruction"] for row in named} == lacking
    assert (found(run)["scored"], found(run)["unscored"]) == (274, 26)
    assert (run.verdict, run.exit_code) == ("error", 4)
    assert "got no answer" in run.results["reasons"][0]["text"]
    requests(server)
    server.settings(rows={})
    again = project.run()
    # What a model has said counts: replies without a score are not paid for again, rows without a reply are asked.
    assert requests(server) == sum(NEVER[i % len(NEVER)] in ("error", "reset", "truncated") for i in range(26))
    assert found(again)["scored"] + found(again)["unscored"] == 300
    assert set(found(again)["unscored_reasons"]) <= {"no number", "empty reply", "refusal"}
    assert again.exit_code == 0


def test_an_expectation_on_unscored_rows_decides_the_exit_code(project: Project, server: Server) -> None:
    server.settings(rows={"<3>": "error", "<4>": "error"})
    for limit, code in ((2, 0), (1, 4)):
        ask(project, server, 30, more=f"expect: [{{grader: g, unscored: {{max: {limit}}}}}]")
        run = project.run()
        assert found(run)["unscored"] == 2
        assert run.exit_code in {0: (0,), 4: (1,)}[code]


def test_a_wrong_key_stops_before_all_rows_try_it(project: Project, server: Server) -> None:
    server.settings(key="another")
    ask(project, server, 500, "concurrency: 64")
    done = project.command("run", project.recipe)
    assert done.returncode == 4
    assert requests(server) == 3
    assert "the key is refused" in done.stderr
    left = "".join(path.read_text(errors="replace") for path in project.folder.rglob("*") if path.is_file())
    assert KEY not in done.stderr + done.stdout + left


@pytest.mark.parametrize(
    ("fault", "most", "says"),
    [
        ("not_found", 3, "does not exist"),
        ("quota", 1, "no money"),
        ("payment", 1, "no money"),
        # Five, and one without the temperature that its words are about.
        ("unsupported", 6, "refused by"),
    ],
)
def test_an_error_of_every_request_stops_at_once(
    project: Project, server: Server, fault: str, most: int, says: str
) -> None:
    server.settings(all=fault)
    ask(project, server, 500, "concurrency: 64")
    with pytest.raises(StageError, match=says):
        project.run()
    assert requests(server) <= most


def test_a_row_that_is_too_long_for_the_model_is_its_own_fault(project: Project, server: Server) -> None:
    server.settings(rows={"<5>": "context_length"})
    ask(project, server, 50)
    run = project.run()
    assert found(run)["unscored_reasons"] == {"refused by the server (400)": 1}
    assert run.exit_code == 0
    requests(server)
    project.run()
    assert requests(server) == 0


def test_a_server_outage_leaves_no_row_unscored(project: Project, server: Server) -> None:
    server.settings(latency_ms=5)
    ask(project, server, 300, "concurrency: 8")
    process = start(project)
    wait_for(lambda: int(server.stats()["requests"]) > 100)
    server.settings(down=1.5)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert results(project)["graders"]["g"]["scored"] == 300


NO_BACKEND = {"status": 500, "body": {"error": {"message": "OpenAIException - Connection error.", "code": "500"}}}


def test_a_gateway_without_the_server_behind_it_is_an_outage(project: Project, server: Server) -> None:
    server.settings(kinds={"no_backend": NO_BACKEND}, all="no_backend")
    ask(project, server, 60, "concurrency: 8, patience_seconds: 30")
    timer = threading.Timer(2.0, lambda: server.settings(all=None))
    timer.start()
    run = project.run()
    timer.join()
    assert (run.exit_code, found(run)["scored"]) == (0, 60)
    # Before the first reply one request at a time is sent, and while the circuit is open.
    assert requests(server) < 60 + 15


def test_a_gateway_whose_server_does_not_come_back_ends_the_run(project: Project, server: Server) -> None:
    server.settings(kinds={"no_backend": NO_BACKEND}, all="no_backend")
    ask(project, server, 60, "patience_seconds: 1")
    with pytest.raises(StageError, match=r"no answer for \d s: the last fault was: no connection behind the gateway"):
        project.run()


def test_an_unreachable_server_ends_the_run(project: Project, server: Server) -> None:
    ask(project, server, 100, "patience_seconds: 1, timeout_seconds: 1")
    server.stop()
    with pytest.raises(StageError, match=r"no answer for \d s: the last fault was: no connection"):
        project.run()


def test_without_an_api_key_no_stage_runs(project: Project, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    project.jsonl("d.jsonl", rows(3))
    project.ask("d.jsonl", "graders: {g: {model: openai/gpt-4o-mini}}")
    with pytest.raises(MachineError, match="export OPENAI_API_KEY="):
        project.run()
    assert not (project.folder / "runs").exists()


# Reuse


def test_no_reply_is_paid_for_twice(project: Project, server: Server) -> None:
    ask(project, server, 200, "keep_rationale: true")
    first = project.run()
    assert requests(server) == 200
    assert (found(first)["calls_made"], found(first)["calls_reused"]) == (200, 0)
    cost = found(first)["cost_usd"]
    assert cost > 0
    same = project.run()
    project.run(sets=["datasets.good.threshold.g=4.5"])
    data = project.folder / "d.jsonl"
    lines = data.read_text().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    data.write_text("".join(lines))
    shuffled = project.run()
    assert requests(server) == 0
    assert (found(same)["calls_made"], found(same)["calls_reused"], found(same)["cost_usd"]) == (0, 200, 0)
    assert found(same)["bought_usd"] == pytest.approx(cost)
    assert found(shuffled)["histogram"] == found(first)["histogram"]
    project.jsonl("d.jsonl", rows(210))
    grown = project.run()
    assert requests(server) == 10
    assert (found(grown)["calls_made"], found(grown)["calls_reused"]) == (10, 200)


def test_a_run_that_has_ended_writes_no_ledger(project: Project, server: Server) -> None:
    """`replies compact` changes no file that a run writes, in the same process neither."""
    ask(project, server, 5)
    finished = project.run()
    files = list((project.folder / ".alpaqual" / "replies").glob("*.jsonl"))
    assert finished and files and not any(map(is_being_written, files))


def test_equal_rows_send_one_request(project: Project, server: Server) -> None:
    server.settings(latency_ms=20)
    ask(project, server, 20)
    project.jsonl("d.jsonl", rows(20) * 5)
    run = project.run()
    assert requests(server) == 20
    assert (found(run)["scored"], found(run)["calls_made"], found(run)["calls_reused"]) == (100, 20, 80)


def test_rows_removed_by_rules_send_no_request(project: Project, server: Server) -> None:
    rule = "rules: [{id: tens, where: \"instruction not like '%0> of many'\", warn: 100%, drop: true}]"
    ask(project, server, 100, more=rule)
    run = project.run()
    assert requests(server) == 90
    assert (found(run)["rows"], found(run)["scored"]) == (90, 90)
    assert run.results["datasets"]["good"]["fates"]["removed_by_rule"] == 10
    assert sum(run.results["datasets"]["good"]["fates"].values()) == 100


def test_the_ledger_serves_offline_and_as_a_recording(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.settings(answers_as="gpt-4o-mini-2024-07-18")
    ask(project, server, 40)
    scores = found(project.run())["histogram"]
    server.stop()
    monkeypatch.delenv("OPENAI_API_KEY")
    for stage in (project.folder / ".alpaqual" / "store").iterdir():
        subprocess.run(["rm", "-rf", stage], check=True)
    offline = project.run(offline=True)
    assert (offline.exit_code, found(offline)["histogram"], found(offline)["calls_reused"]) == (0, scores, 40)
    project.ask("d.jsonl", f"graders: {{g: {{model: recorded/.alpaqual/replies, {SCALE}}}}}")
    assert found(project.run())["histogram"] == scores
    project.jsonl("d.jsonl", rows(41))
    ask(project, server, 41)
    lacking = project.run(offline=True)
    assert (lacking.exit_code, found(lacking)["unscored_reasons"]) == (4, {"not in the ledger, and offline": 1})


def test_an_answer_from_another_model_is_reported(project: Project, server: Server) -> None:
    for answers, verdict in (("gpt-4o-mini-2024-07-18", "pass"), ("something-cheaper", "warn")):
        server.settings(answers_as=answers)
        ask(project, server, 5, f"dimension: {answers}")
        run = project.run()
        assert (run.verdict, found(run)["models"]) == (verdict, [f"openai/{answers}"])


# Money


def test_a_budget_stops_before_it_is_exceeded_and_a_rerun_resumes(project: Project, server: Server) -> None:
    price = "price: {input: 1000, output: 1000}"
    server.settings(input_tokens=100, output_tokens=10)  # 0.11 dollars a call
    ask(project, server, 100, f"{price}, budget_usd: 5, pilot: 10, concurrency: 8")
    with pytest.raises(StageError, match=r"budget_usd of g of \$5\.00 reached.*need about \$6\.\d\d more.*rerun"):
        project.run()
    first = requests(server)
    assert 30 <= first <= 45
    # The budget is the grader's, not the run's: the same one buys nothing more.
    with pytest.raises(StageError, match="reached"):
        project.run()
    assert requests(server) == 0
    run = project.run(sets=["graders.g.budget_usd=20"])
    assert requests(server) == 100 - first
    assert found(run)["scored"] == 100
    assert found(run)["cost_usd"] + found(run)["bought_usd"] == pytest.approx(11.0)


def test_max_cost_is_for_this_run_and_all_graders(project: Project, server: Server) -> None:
    server.settings(input_tokens=100, output_tokens=10)
    ask(project, server, 40, "price: {input: 1000, output: 1000}, concurrency: 4")
    done = project.command("run", project.recipe, "--max-cost", "1")
    assert done.returncode == 4
    assert "--max-cost of $1.00 reached" in done.stderr
    first = requests(server)
    assert 1 <= first <= 9
    assert project.command("run", project.recipe, "--max-cost", "100").returncode == 0
    assert requests(server) == 40 - first


def test_a_limit_without_a_price_is_refused(project: Project, server: Server) -> None:
    ask(project, server, 5, "budget_usd: 1", provider="openai/a-model-of-our-own")
    done = project.command("run", project.recipe)
    assert done.returncode == 2
    assert "none is listed for openai/a-model-of-our-own" in done.stderr
    assert requests(server) == 0


def test_plan_prints_what_run_then_does(project: Project, server: Server) -> None:
    ask(project, server, 60)
    before = json.loads(project.command("plan", project.recipe, "--json").stdout)["graders"][0]
    assert requests(server) == 0
    run = project.run()
    assert before["calls"] == requests(server) == 60
    assert before["input_tokens"] == pytest.approx(found(run)["input_tokens"], rel=0.25)
    project.jsonl("d.jsonl", rows(70))
    text = project.command("plan", project.recipe, "-q").stdout
    assert "grader g: 10 calls (60 of 70 rows are in the ledger)" in text


# Before the full bill


def test_a_pilot_without_a_score_stops_the_rest(project: Project, server: Server) -> None:
    server.settings(reply="")
    ask(project, server, 300, "pilot: 10, concurrency: 8")
    with pytest.raises(
        StageError, match=r"pilot of 10 rows gave no score at all \(empty reply: 10\); 'max_tokens' may"
    ):
        project.run()
    assert requests(server) == 30


def test_a_grader_that_gives_every_row_the_same_is_stopped_by_its_pilot(project: Project, server: Server) -> None:
    server.settings(reply="4.5")
    ask(project, server, 300, "pilot: 40, health: {most_frequent: {fail: 80%}}")
    with pytest.raises(StageError, match=r"gave 4\.5 to 40 of 40 \(most_frequent fails above 80%\)"):
        project.run()
    assert requests(server) == 40


def test_golden_rows_are_graded_first(project: Project, server: Server) -> None:
    golden = [{"instruction": f"known {i}", "response": "r", "score": 4.0} for i in range(8)]
    project.jsonl("golden.jsonl", golden)
    server.settings(reply="4.5\nwhy")
    ask(project, server, 100, "health: {golden: {file: golden.jsonl, within: 0.5, fail: 0.25}}")
    assert project.run().exit_code == 0
    assert requests(server) == 108
    server.settings(reply="1")
    ask(project, server, 100, "dimension: helpfulness, health: {golden: {file: golden.jsonl, within: 0.5, fail: 0.25}}")
    with pytest.raises(StageError, match=r"8 of 8 rows of golden\.jsonl are scored more than 0\.5 off"):
        project.run()
    assert requests(server) == 8


def test_repeated_requests_have_two_replies(project: Project, server: Server) -> None:
    ask(project, server, 50, "health: {repeats: {rows: 20, fail: 50%}}")
    run = project.run()
    assert (run.exit_code, found(run)["calls_made"], found(run)["calls_reused"]) == (0, 70, 0)
    assert requests(server) == 70
    project.run()
    assert requests(server) == 0


# What is sent


def test_the_request_that_a_server_gets(project: Project, server: Server) -> None:
    server.settings(record=True)
    words = (
        "dimension: helpfulness, structured: true, temperature: 0.5, "
        "examples: [{instruction: one, response: two, score: 1.5}]"
    )
    ask(project, server, 1, words)
    run = project.run()
    body = server.stats()["bodies"][0]
    assert body["model"] == "gpt-4o-mini"
    assert (body["temperature"], body["max_tokens"]) == (0.5, 16)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == '{"score": 1.5}'
    assert "Question <0> of many" in body["messages"][2]["content"]
    assert "according to the helpfulness" in body["messages"][2]["content"]
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["score"]["enum"] == [n / 2 for n in range(11)]
    assert found(run)["scored"] == 1


def test_grading_runs_inside_the_event_loop_of_a_notebook(project: Project, server: Server) -> None:
    ask(project, server, 10)

    async def cell() -> Run:
        return project.run()

    assert found(asyncio.run(cell()))["scored"] == 10


def test_several_graders_share_a_run(project: Project, server: Server) -> None:
    project.jsonl("d.jsonl", rows(30))
    grader = f"model: openai/gpt-4o-mini, base_url: '{server.openai}', {SCALE}"
    project.ask(
        "d.jsonl",
        f"graders:\n  a: {{{grader}}}\n  b: {{{grader}, dimension: helpfulness}}\n"
        f"  both: {{of: [a, b], combine: min, {SCALE}}}\n"
        f"  expensive: {{{grader}, dimension: depth, cascade: {{first: a, threshold: 3, band: 0.5}}}}",
        datasets="{good: {threshold: {both: 2, expensive: 3}}}",
    )
    run = project.run()
    near = sum(bar["rows"] for bar in run.results["graders"]["a"]["histogram"] if 2.5 <= bar["score"] <= 3.5)
    assert 0 < near < 30
    assert requests(server) == 60 + near
    assert run.results["graders"]["expensive"]["taken_over"] == 30 - near
    assert run.results["graders"]["both"]["scored"] == 30


# Processes that end in the middle


def start(project: Project, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "alpaqual", "run", str(project.recipe), *words],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def results(project: Project) -> dict[str, Any]:
    return dict(json.loads((project.folder / "runs" / "trial" / "results.json").read_text()))


def test_killed_at_some_moments_it_pays_again_at_most_for_what_was_in_flight(project: Project, server: Server) -> None:
    count, flying = 1_500 if NIGHTLY else 800, 8
    server.settings(latency_ms=15)
    ask(project, server, count, f"concurrency: {flying}")
    chance = random.Random(5)
    kills = 0
    rounds = moments(4, 10)
    for _ in rounds:
        before = int(server.stats()["requests"])
        process = start(project)
        wait_for(lambda was=before, it=process: int(server.stats()["requests"]) > was + 5 or it.poll() is not None)
        time.sleep(chance.uniform(0, 0.08))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    server.settings(latency_ms=2)
    process = start(project)
    _, errors = process.communicate(timeout=100)
    assert (process.returncode, kills) == (0, len(rounds)), errors
    grader = results(project)["graders"]["g"]
    assert (grader["scored"], grader["calls_made"] + grader["calls_reused"]) == (count, count)
    assert requests(server) <= count + kills * flying


def test_control_c_keeps_what_was_in_flight(project: Project, server: Server) -> None:
    server.settings(latency_ms=100)
    ask(project, server, 400, "concurrency: 8")
    process = start(project)
    wait_for(lambda: int(server.stats()["requests"]) > 20)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "run again to resume" in errors
    assert "Traceback" not in errors
    paid = requests(server)
    kept = sum(len(path.read_text().splitlines()) for path in (project.folder / ".alpaqual/replies").glob("*.jsonl"))
    assert kept == paid
    server.settings(latency_ms=2)
    again = start(project)
    again.communicate(timeout=100)
    assert again.returncode == 0
    assert requests(server) == 400 - paid


def test_processes_at_once_pay_for_a_reply_once(project: Project, server: Server) -> None:
    server.settings(latency_ms=1000, faults={"error": 0.05, "reset": 0.05}, seed=4)
    ask(project, server, 400, "concurrency: 8")
    names = ("one", "two", "three")
    running = [start(project, "--out", str(project.folder / name)) for name in names]
    # Each has loaded the rows while no process has ended. One may win every request, while the others wait for its replies.
    for process in running:
        assert process.stderr is not None
        assert "loading" in process.stderr.readline()
    assert all(process.poll() is None for process in running), "they did not run at once"
    server.settings(latency_ms=5)
    for process in running:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    made = [json.loads((project.folder / name / "results.json").read_text())["graders"]["g"] for name in names]
    # Each reply was paid for by one of them and is in one file.
    assert sum(grader["calls_made"] for grader in made) == 400
    assert [grader["scored"] for grader in made] == [400] * 3
    lines = [path.read_text().splitlines() for path in (project.folder / ".alpaqual/replies").glob("*.jsonl")]
    assert sum(map(len, lines)) == 400
    requests(server)
    subprocess.run(["rm", "-rf", project.folder / ".alpaqual" / "store"], check=True)
    assert found(project.run())["calls_reused"] == 400
    assert requests(server) == 0


def test_costs_of_other_processes_before_a_grader_count_once(project: Project, server: Server) -> None:
    server.settings(input_tokens=100, output_tokens=10, latency_ms=150)  # 0.11 dollars a call
    ask(project, server, 40)
    words = f"model: openai/gpt-4o-mini, base_url: '{server.openai}', {SCALE}, price: {{input: 1000, output: 1000}}"
    expensive = f"expensive: {{{words}, dimension: depth, budget_usd: 5}}"
    project.ask("d.jsonl", f"graders: {{slow: {{{words}, concurrency: 2}}, {expensive}}}")
    first = start(project, "--out", str(project.folder / "one"))
    wait_for(lambda: int(server.stats()["requests"]) > 4)
    project.jsonl("few.jsonl", rows(30))
    project.ask("few.jsonl", f"graders: {{{expensive}}}")
    # The first one takes these replies in while it is at its other grader: 3.30 of 4.40 dollars.
    second = start(project, "--out", str(project.folder / "two"))
    for process in (second, first):
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert requests(server) == 80


def test_requests_of_a_killed_process_are_sent_by_others(project: Project, server: Server) -> None:
    server.settings(latency_ms=800)
    ask(project, server, 80, "concurrency: 8")
    first = start(project, "--out", str(project.folder / "one"))
    wait_for(lambda: int(server.stats()["requests"]) >= 8)
    second = start(project, "--out", str(project.folder / "two"))
    wait_for(lambda: int(server.stats()["requests"]) >= 32)
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    server.settings(latency_ms=5)
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert json.loads((project.folder / "two" / "results.json").read_text())["graders"]["g"]["scored"] == 80
    assert requests(server) <= 88


# Batches


@pytest.mark.parametrize("provider", ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"])
def test_a_batch_costs_half_and_outlives_the_process(project: Project, server: Server, provider: str) -> None:
    ask(project, server, 60, "pilot: 5", provider=provider)
    full = found(project.run())["cost_usd"]
    subprocess.run(["rm", "-rf", project.folder / ".alpaqual"], check=True)
    server.reset()
    server.settings(batch_seconds=2, slow_ms=1, rows={"must begin with the score": "slow", "<7>": "prose"})
    ask(project, server, 60, "pilot: 5, mode: batch, poll_seconds: 0.2", provider=provider)
    process = start(project)
    wait_for(lambda: len(server.batches()) == 1 and any((project.folder / ".alpaqual/replies/batches").glob("*")))
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    run = project.run()
    assert found(run)["unscored_reasons"] == {}
    assert (found(run)["scored"], run.exit_code) == (60, 0)
    assert found(run)["calls_made"] + found(run)["calls_reused"] >= 60
    ledger = (project.folder / ".alpaqual/replies").glob("*.jsonl")
    entries = [json.loads(line) for path in ledger for line in path.read_text().splitlines()]
    assert len({entry["key"] for entry in entries}) == len(entries) == 61
    spent = sum(entry["cost_usd"] for entry in entries)
    assert 0.45 * full < spent < 0.65 * full
    asked = sum(batch["rows"] for batch in server.batches())
    assert asked == 56  # 55 rows behind the pilot, and the one that answered in prose once more


# What a reviewer found


def test_a_pilot_that_failed_fails_again_and_sends_nothing(project: Project, server: Server) -> None:
    server.settings(reply="4.5")
    ask(project, server, 200, "pilot: 40, health: {most_frequent: {fail: 80%}}")
    for sent in (40, 0):
        with pytest.raises(StageError, match="most_frequent fails above 80%"):
            project.run()
        assert requests(server) == sent


def test_requests_waiting_for_the_rate_limit_are_not_sent_after_a_stop(project: Project, server: Server) -> None:
    server.settings(latency_ms=50)
    ask(project, server, 100, "requests_per_minute: 120, concurrency: 16")
    process = start(project)
    wait_for(lambda: int(server.stats()["requests"]) >= 3)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert requests(server) <= 6


def test_the_budget_limits_a_server_that_reports_no_tokens(project: Project, server: Server) -> None:
    server.settings(usage=False)
    ask(project, server, 100, "price: {input: 1000, output: 1000}, budget_usd: 5")
    with pytest.raises(StageError, match="budget_usd of g"):
        project.run()
    assert 1 <= requests(server) < 50


def test_a_golden_row_without_a_reply_is_graded_by_the_next_run(project: Project, server: Server) -> None:
    project.jsonl("golden.jsonl", [{"instruction": f"known {i}", "output": "r", "score": 4.5} for i in range(5)])
    server.settings(reply="4.5", rows={"known 3": "error"})
    ask(project, server, 20, "health: {golden: {file: golden.jsonl}}")
    project.run()
    server.settings(rows={})
    requests(server)
    run = project.run()
    assert requests(server) == 1
    golden = next(check for check in found(run)["health"] if check["check"] == "golden")
    assert "5" in golden["text"] and golden["value"] == 0


def test_a_model_s_id_is_one_line(project: Project, server: Server) -> None:
    server.settings(answers_as="gpt-4o-mini\nFAKE: line")
    ask(project, server, 5)
    done = project.command("run", project.recipe)
    assert "openai/gpt-4o-mini FAKE: line answered" in done.stdout
    assert not any(line.startswith("FAKE") for line in done.stdout.splitlines())


def test_half_of_a_surrogate_pair_becomes_the_replacement_character() -> None:
    reply = clean(Reply("4.5\nGood \ud83d", "openai/m\ud83d"))
    assert (reply.text, reply.model) == ("4.5\nGood \ufffd", "openai/m\ufffd")


def test_replies_of_a_batch_need_no_key_once_they_are_here(
    project: Project, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(project, server, 12, "pilot: 2")
    project.run()
    requests(server)
    monkeypatch.delenv("OPENAI_API_KEY")
    project.jsonl("d.jsonl", rows(12)[::-1])
    recipe = project.recipe.read_text().replace("pilot: 2", "pilot: 2, mode: batch")
    project.recipe.write_text(
        "\n".join(line.replace(f"base_url: '{server.openai}', ", "") for line in recipe.splitlines())
    )
    run = project.run()
    assert (found(run)["scored"], found(run)["calls_reused"], requests(server)) == (12, 12, 0)


def test_a_recording_costs_nothing_with_any_budget(project: Project, server: Server) -> None:
    ask(project, server, 6)
    project.run()
    words = f"model: recorded/.alpaqual/replies, {SCALE}, budget_usd: 0.000001, requests_per_minute: 1"
    project.jsonl("d.jsonl", rows(9))
    project.ask("d.jsonl", f"graders: {{g: {{{words}}}}}")
    started = time.monotonic()
    assert found(project.run(max_cost=0.0))["unscored_reasons"] == {"no recorded reply": 3}
    assert time.monotonic() - started < 20


def test_a_run_stopped_by_its_budget_leaves_the_finished_run(project: Project, server: Server) -> None:
    ask(project, server, 10, "price: {input: 1000, output: 1000}")
    project.run()
    folder = project.folder / "runs" / "trial"
    assert (folder / "datasets" / "good.jsonl").exists()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != MARKER}
    with pytest.raises(StageError):
        project.run(max_cost=0.001, sets=["graders.g.dimension=other"], out=folder)
    assert {path: path.read_bytes() for path in before} == before
    stopped = folder / "unfinished"
    assert "--max-cost" in (stopped / "report.md").read_text()
    assert not list(stopped.glob("datasets/*")) and not list(stopped.glob("tables/*"))
    assert project.run().exit_code == 0
    assert (folder / "datasets" / "good.jsonl").exists()


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://x", "http://"])
def test_an_invalid_address_is_refused_without_a_request(project: Project, address: str) -> None:
    project.jsonl("d.jsonl", rows(3))
    project.ask("d.jsonl", f"graders: {{g: {{model: openai/m, base_url: '{address}'}}}}")
    done = project.command("check", project.recipe)
    assert done.returncode == 2
    assert "an address starts with http:// or https://" in done.stderr
