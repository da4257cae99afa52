"""A ledger that version 0.1 wrote before requests had `parameters` answers every request of today: no key has changed.

`ledger/` holds a recipe of seven graders, its data, the 93 replies that a server gave, and the scores that they gave then. The
files are never made anew: a key that differs is a reply that is paid for twice.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Project

from alpaqual.plan.prompts import grader_plugin, prompt_settings
from alpaqual.plan.stage import fingerprint
from alpaqual.recipe.graders import Grader
from alpaqual.store.ledger import request_key
from alpaqual.values import Grade, Row

LEDGER = Path(__file__).with_name("ledger")
ROW = Row("id", "Say “so”.", "given", "So.", "User: Say “so”.\n\nAssistant: So.")
GRADERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rationale": {"keep_rationale": True},
    "no temperature": {"temperature": None, "max_tokens": 40},
    "structured": {"structured": True, "scale": {"min": 0, "max": 5, "step": 0.5}},
    "structured with a rationale": {"structured": True, "keep_rationale": True},
    "expectation": {"model": "local/m", "scoring": "expectation", "scale": {"min": 1, "max": 5, "step": 0.5}},
    "expectation that ignores sampling": {"model": "local/m", "scoring": "expectation", "max_tokens": 9},
    "perplexities": {"model": "local/m", "kind": "ifd"},
    "prompt": {"prompt": "p.txt", "dimension": "helpfulness", "reply": "last_line"},
    "examples": {"examples": [{"instruction": "a", "response": "b", "score": 4.5, "rationale": "c"}]},
    "other keys": {"base_url": "http://127.0.0.1/v1", "concurrency": 3, "mode": "batch", "budget_usd": 3, "pilot": 2},
}
TEMPLATE = "You rate.\n---\n[conversation] [dimension] [min] [max]"


def keys(name: str) -> list[str]:
    """The ledger's key of a grader's first request, and of one after a reply without a score; the settings' fingerprint."""
    grader = msgspec.convert({"model": "openai/m", **GRADERS[name]}, Grader)
    template = TEMPLATE if grader.prompt else None
    plugin = grader_plugin(grader, template, str(grader.model))
    first = plugin.request(ROW)
    later = plugin.follow_up(first, Grade(None, "no number"), 1)
    settings = fingerprint(prompt_settings(grader, template, str(grader.model)))
    return [request_key(first), "" if later is None else request_key(later), settings]


@pytest.mark.parametrize("name", GRADERS)
def test_a_key_of_today_is_the_key_of_before(name: str) -> None:
    assert keys(name) == json.loads((LEDGER / "keys.json").read_text())[name]


@pytest.mark.slow
def test_a_ledger_of_before_is_replayed_without_a_call(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("recipe.yaml", "rows.jsonl", "talks.jsonl", "prompt.txt", "talk.txt"):
        shutil.copy(LEDGER / name, project.folder)
    replies = gzip.decompress((LEDGER / "replies.jsonl.gz").read_bytes())
    project.write(".alpaqual/replies/20261129-120000-before.jsonl", replies)

    # Without a key in the environment, a request that misses the ledger is an error.
    graders = project.run().results["graders"]

    assert sum(grader["calls_made"] for grader in graders.values()) == 0
    found = {
        name: {
            "calls": grader["calls_reused"],
            "scores": {f"{bar.score:g}": bar.rows for bar in grader["histogram"]},
            "unscored": grader["unscored"],
        }
        for name, grader in graders.items()
    }
    assert found == json.loads((LEDGER / "expected.json").read_text())
