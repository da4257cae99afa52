"""Rows graded through LiteLLM's proxy, on both of its APIs, with llama.cpp's server behind it. For the nightly tier."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import Project
from tiers import NIGHTLY

from alpaqual.errors import StageError
from servers import MODEL, LlamaServer, Proxy
from servers.grading import KEY, STRUCTURED, ask, found, real_rows, reasons, replies
from servers.litellm_environment import litellm_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("short_pauses"),
    pytest.mark.skipif(not NIGHTLY, reason="ALPAQUAL_TESTS=nightly: it installs LiteLLM's proxy"),
]
PLAIN = "max_tokens: 12"


@dataclass
class Behind:
    """A proxy and the server behind it."""

    proxy: Proxy
    llama: LlamaServer

    def ask(self, project: Project, api: str, count: int, words: str, model: str = MODEL) -> None:
        """A recipe that grades real rows with a model of the proxy."""
        address = self.proxy.openai if api == "openai" else self.proxy.url
        ask(project, real_rows(count), f"{api}/{model}", address, words)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    llama = LlamaServer()
    here = {"model": f"openai/{MODEL}", "api_base": llama.openai, "api_key": "sk-of-llama"}
    price = {"input_cost_per_token": 0.01, "output_cost_per_token": 0.01}
    models = [
        {"model_name": MODEL, "litellm_params": here},
        {"model_name": "lost", "litellm_params": {**here, "api_base": "http://127.0.0.1:9/v1"}},
        {
            "model_name": "bought",
            "litellm_params": {
                **here,
                "model": "openai/bought",
                **price,
                "max_budget": 0.00001,
                "budget_duration": "1d",
            },
        },
    ]
    both = Behind(Proxy(litellm_python(tmp_path_factory), models, KEY), llama)
    try:
        both.llama.wait()
        both.proxy.wait()
        yield both
    finally:
        both.proxy.stop()
        both.llama.stop()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    use_key(monkeypatch, KEY)


def use_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)


BOTH = pytest.mark.parametrize("api", ["openai", "anthropic"])


def test_real_rows_are_graded_once(project: Project, behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    behind.ask(project, "openai", 20, STRUCTURED)
    run = project.run()
    assert (run.exit_code, found(run)["scored"], found(run)["calls_made"]) == (0, 20, 20)
    kept = replies(project)
    assert {reply["finish_reason"] for reply in kept} <= {"stop", "length"}
    assert all(reply["input_tokens"] > 10 and reply["output_tokens"] > 0 for reply in kept)
    use_key(monkeypatch, "sk-another")
    again = project.run()
    assert (again.exit_code, found(again)["calls_made"], found(again)["calls_reused"]) == (0, 0, 20)


def test_the_messages_api(project: Project, behind: Behind) -> None:
    behind.ask(project, "anthropic", 3, PLAIN)
    run = project.run()
    assert (run.exit_code, found(run)["models"]) == (0, [f"anthropic/{MODEL}"])
    assert found(run)["scored"] + found(run)["unscored"] == 3
    kept = replies(project)
    assert len(kept) == found(run)["calls_made"] >= 3
    assert {reply["finish_reason"] for reply in kept} <= {"end_turn", "max_tokens"}
    assert all(reply["output_tokens"] > 0 for reply in kept)


@BOTH
def test_a_wrong_key_stops_the_run(project: Project, behind: Behind, monkeypatch: pytest.MonkeyPatch, api: str) -> None:
    """Without a database the proxy answers 400, "No connected db."."""
    use_key(monkeypatch, "sk-another")
    behind.ask(project, api, 20, PLAIN)
    with pytest.raises(StageError, match=r"the key is refused.*No connected db\..*the first 3 requests"):
        project.run()
    assert replies(project) == []
    # A key that is right asks again for all rows.
    use_key(monkeypatch, KEY)
    behind.ask(project, api, 2, PLAIN)
    assert project.run().exit_code == 0


@BOTH
def test_an_unknown_model_stops_the_run(project: Project, behind: Behind, api: str) -> None:
    behind.ask(project, api, 20, PLAIN, "unknown")
    with pytest.raises(StageError, match=r"the model or the address does not exist.*Invalid model name"):
        project.run()


@BOTH
def test_a_server_behind_it_that_is_down_ends_the_run(project: Project, behind: Behind, api: str) -> None:
    behind.ask(project, api, 20, f"{PLAIN}, patience_seconds: 3", "lost")
    with pytest.raises(StageError, match=r"no answer for .*no connection behind the gateway"):
        project.run()


@BOTH
def test_a_spent_budget_ends_the_run(project: Project, behind: Behind, api: str) -> None:
    """The proxy counts in the background, so that some requests pass; then it answers 429 and says nothing of when it ends."""
    behind.ask(project, api, 20, f"{PLAIN}, patience_seconds: 3, requests_per_minute: 60", "bought")
    with pytest.raises(StageError, match=r"no answer for .*crossed budget"):
        project.run()


@BOTH
def test_a_row_longer_than_the_context_is_its_own_fault(project: Project, behind: Behind, api: str) -> None:
    behind.ask(project, api, 1, PLAIN)
    long = {"instruction": "Count.", "input": "", "output": "one " * 3000}
    project.jsonl("rows.jsonl", [long, *real_rows(1)])
    run = project.run()
    assert run.exit_code == 0
    assert reasons(run)["refused by the server (400)"] == 1
    again = project.run()
    assert (again.exit_code, found(again)["calls_made"]) == (0, 0)


def test_a_server_behind_it_that_ends_and_starts_again_leaves_no_row_unscored(project: Project, behind: Behind) -> None:
    def restart() -> None:
        end = time.monotonic() + 60
        while len(replies(project)) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        behind.llama.stop()
        time.sleep(3)
        behind.llama = LlamaServer(port=behind.llama.port)
        behind.llama.wait()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        behind.ask(project, "openai", 12, STRUCTURED)
        run = project.run()
    finally:
        thread.join()
    assert (run.exit_code, found(run)["scored"]) == (0, 12)
    assert len(replies(project)) == 12
