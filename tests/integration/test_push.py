"""Pushing to the Hugging Face Hub: its own client against a server on this machine that has the calls it makes."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from conftest import Project

import alpaqual
from alpaqual.errors import MachineError, RecipeError

hub = pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.slow


class Hub(ThreadingHTTPServer):
    """Takes commits of dataset repositories; `refuses` makes it answer 403."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.created: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        self.commits: list[dict[str, bytes]] = []
        self.refuses = False


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.refuses:
            return self.reply(403, {"error": "not yours"})
        if self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            return self.reply(200, {"url": f"{self.server.address}/datasets/team/good", "name": "team/good"})
        if self.path == "/api/validate-yaml":
            return self.reply(200, {"errors": [], "warnings": []})
        if self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            modes = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files]
            return self.reply(200, {"files": modes})
        assert self.path == "/api/datasets/team/good/commit/main"
        parts = [json.loads(line) for line in body.splitlines()]
        files = {
            part["value"]["path"]: base64.b64decode(part["value"]["content"]) for part in parts if part["key"] == "file"
        }
        self.server.commits.append(files)
        address = f"{self.server.address}/datasets/team/good/commit/abc"
        return self.reply(200, {"commitUrl": address, "commitOid": "abc", "success": True})

    def reply(self, status: int, value: Any) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    yield server
    server.shutdown()
    server.server_close()


def pushing(project: Project, settings: str = "", score: int = 5) -> alpaqual.Run:
    rows = [{"instruction": f"q{n}", "output": "a|b", "score": score, "kind": "xy"[n % 2]} for n in range(40)]
    project.jsonl("data.jsonl", rows)
    more = "graders: {g: {column: score, scale: {min: 0, max: 5}}}\ncategories: [{category: sevens, keywords: ['7']}]"
    dataset = f"{{threshold: {{g: 4}}, push_to_hub: team/good{settings}}}"
    project.ask(more=more, datasets=f"{{good: {dataset}, other: {{}}}}")
    return project.run()


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ("", {"train": "good.jsonl"}),
        (
            ", file: parquet, split: {train: 0.5, test: 0.5}",
            {"train": "good.train.parquet", "test": "good.test.parquet"},
        ),
    ],
)
def test_files_and_card_are_one_commit(project: Project, server: Hub, settings: str, files: dict[str, str]) -> None:
    run = pushing(project, settings)
    assert alpaqual.push(run.folder) == {"good": f"{server.address}/datasets/team/good/commit/abc"}
    assert server.tokens == {"Bearer hf_test"}
    (created,) = server.created
    assert (created["name"], created["type"]) == ("good", "dataset")
    assert created.get("visibility", created.get("private")) in ("private", True)
    (commit,) = server.commits
    ending = "parquet" if "parquet" in settings else "jsonl"
    stored = {f"data/{split}.{ending}": (run.folder / "datasets" / file).read_bytes() for split, file in files.items()}
    card = (run.folder / "datasets" / "good.README.md").read_bytes()
    assert commit == {**stored, "README.md": card}
    _, front, body = card.decode().split("---\n", 2)
    (config,) = yaml.safe_load(front)["configs"]
    assert {each["split"]: each["path"] for each in config["data_files"]} == {
        split: f"data/{split}.{ending}" for split in files
    }
    assert "40 of 40 rows: g ≥ 4." in body
    assert "| sevens | 4 | 10.0% | 100.0% |" in body
    assert run.results.recipe.sha256 in body
    assert hub.DatasetCard(card.decode()).data.size_categories == ["n<1K"]


def test_nothing_is_pushed_by_a_run_nor_without_a_token_nor_of_a_bad_run(
    project: Project, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pushing(project)
    with pytest.raises(RecipeError, match="the dataset 'other' does not name a repository"):
        alpaqual.push(run.folder, dataset="other")
    monkeypatch.setattr(hub, "get_token", lambda: None)
    with pytest.raises(MachineError, match="needs a token: set HF_TOKEN"):
        alpaqual.push(run.folder)
    bad = pushing(project, score=1)
    with pytest.raises(RecipeError, match="the verdict of this run is fail: only a good run is pushed"):
        alpaqual.push(bad.folder)
    assert server.created == server.commits == []


def test_a_hub_that_refuses_is_an_error_of_a_stage(project: Project, server: Hub) -> None:
    server.refuses = True
    done = project.command("push", pushing(project).folder)
    assert done.returncode == 4
    assert "the Hugging Face Hub did not take team/good: " in done.stderr
    assert "hf_test" not in done.stderr


def test_a_folder_of_the_datasets_library_cannot_be_pushed(project: Project) -> None:
    with pytest.raises(RecipeError, match="write file: parquet"):
        pushing(project, ", file: datasets")
