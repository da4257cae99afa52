"""The loopback server does what its settings say; raw requests, no package in between."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from . import Server, score_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.restore()
    return running


def ask(server: Server, text: str, path: str = "/v1/chat/completions", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": text}]}
    try:
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/v1/messages"])
def test_a_reply_begins_with_the_score_of_its_prompt(server: Server, path: str) -> None:
    status, reply = ask(server, "a row", path)

    text = reply["content"][0]["text"] if "messages" in path else reply["choices"][0]["message"]["content"]
    assert status == 200
    assert text.split("\n")[0] == f"{score_of('a row'):g}"


def test_scores_are_spread_over_the_scale() -> None:
    assert {score_of(f"row {at}") for at in range(500)} == {at / 2 for at in range(11)}


def test_faults_come_as_often_as_asked_for_whatever_the_order(server: Server) -> None:
    server.settings(faults={"error": 0.2, "throttle": 0.1}, seed=3)
    rows = [f"row {at}" for at in range(300)]

    found = {row: ask(server, row)[0] for row in rows}
    server.reset()
    backwards = {row: ask(server, row)[0] for row in reversed(rows)}

    assert found == backwards
    statuses = list(found.values())
    assert 40 <= statuses.count(500) <= 80
    assert 15 <= statuses.count(429) <= 45


def test_a_row_may_fail_a_few_times(server: Server) -> None:
    server.settings(rows={"row 7": ["error", 2], "row 8": "prose"})

    assert [ask(server, "this is row 7")[0] for _ in range(4)] == [500, 500, 200, 200]
    assert "I would rate it highly" in ask(server, "row 8")[1]["choices"][0]["message"]["content"]
    assert ask(server, "row 9")[0] == 200


def test_latency_and_how_many_are_in_flight(server: Server) -> None:
    server.settings(latency_ms=100, jitter_ms=10)
    began = time.monotonic()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: ask(server, f"row {at}"), range(16)))

    assert 0.18 <= time.monotonic() - began < 1
    stats = server.stats()
    assert (stats["requests"], stats["most_in_flight"], stats["in_flight"]) == (16, 8, 0)
    assert stats["last"] - stats["first"] >= 0.17


def test_its_rate_limits_are_kept(server: Server) -> None:
    server.settings(requests_per_second=20)

    statuses = [ask(server, f"row {at}")[0] for at in range(40)]

    assert statuses[:20] == [200] * 20
    assert statuses.count(429) >= 10
    server.settings(requests_per_second=None, tokens_per_second=50)
    assert [ask(server, "x" * 100)[0] for _ in range(3)] == [200, 429, 429]


def test_keys_and_models(server: Server) -> None:
    server.settings(key="k", models=["another"])

    assert ask(server, "row")[0] == 401
    assert ask(server, "row", Authorization="Bearer k")[0] == 404
    assert ask(server, "row", "/v1/messages", **{"x-api-key": "k"})[0] == 404
    server.settings(models=["m"])
    assert ask(server, "row", Authorization="Bearer k")[0] == 200


@pytest.mark.parametrize("refuse", [False, True])
def test_down_for_a_while(server: Server, refuse: bool) -> None:
    server.settings(down=0.4, refuse=refuse)
    time.sleep(0.1)

    with pytest.raises(OSError):
        ask(server, "row")

    time.sleep(0.5)
    assert ask(server, "row")[0] == 200


def test_what_it_keeps_and_what_it_does_not_know(server: Server) -> None:
    server.settings(record=True)
    ask(server, "row 1")
    ask(server, "row 1")

    assert server.asked() == {"row 1": 2}
    assert server.stats()["bodies"][0]["messages"] == [{"role": "user", "content": "row 1"}]
    with pytest.raises(ValueError, match="no such setting or kind: latency"):
        server.settings(latency=1)
    with pytest.raises(ValueError, match="no such setting or kind: eror"):
        server.settings(rows={"row": "eror"})


def test_it_ends_with_who_started_it() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import loopback, os; s = loopback.Server(); print(s.port, flush=True); os._exit(1)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    port = int(found.stdout)

    for _ in range(100):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/_/stats")
            connection.getresponse().read()
        except OSError:
            return
        finally:
            connection.close()
        time.sleep(0.05)
    raise AssertionError("the server is still there")
