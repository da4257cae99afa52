"""A small report in which every text is hostile, and a parser of pages that shows what a text became."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from found import report

from alpaqual.report.report import Report

EVIL = "</script><script>window.pwned=1</script><img src=x onerror=alert(1)>]]>&amp;\u2028\u202e\x00"
VOID = {"meta", "input"}


def made(**changes: Any) -> Report:
    """The report."""
    scale = {"min": 0.0, "max": 5.0, "step": 0.5}
    fates = {
        "kept": 4,
        "below_threshold": 5,
        "unscored": 1,
        "removed_by_rule": 2,
        "removed_by_quota": 0,
        "not_sampled": 0,
    }
    counts = {
        "eligible": 5,
        "rows": 3,
        "at_threshold": 2,
        "below_threshold": 1,
        "shortfall": 1,
        "fates": {"kept": 3},
    }
    near = {"score": 4.5, "fate": "kept", "reasons": [EVIL], "categories": [EVIL], "reply": EVIL}
    dataset = {
        "rows": 4,
        "eligible": 10,
        "at_threshold": 3,
        "below_threshold": 1,
        "shortfall": 1,
        "threshold": {"accuracy": 4.5},
        "from": None,
        "fates": fates,
        "quotas": [
            {
                "category": EVIL,
                "limit": "min_rows",
                "asked": 4,
                "wanted": 4,
                "rows": 3,
                "shortfall": 1,
                "state": "fail",
            }
        ],
        "categories": {EVIL: counts},
        "scores": [{"score": 2.0, "rows": 6}, {"score": 4.5, "rows": 2}, {"score": 5.0, "rows": 1}],
        "category_scores": [
            {"category": EVIL, "score": 2.0, "rows": 3},
            {"category": EVIL, "score": 5.0, "rows": 2},
        ],
        "near": [{"id": "a" * 32, "instruction": EVIL, "input": EVIL, "response": EVIL, **near}],
    }
    grader = {
        "dimension": EVIL,
        "source": EVIL,
        "models": [EVIL],
        "scale": scale,
        "scored": 9,
        "unscored": 1,
        "unscored_reasons": {EVIL: 1},
        "histogram": dataset["scores"],
        **dict.fromkeys(("calls_made", "input_tokens", "output_tokens", "cost_usd", "bought_usd"), 0),
        "calls_reused": 10,
        "health": [{"check": "length", "value": 0.4, "warn": EVIL, "fail": None, "state": "warn", "text": EVIL}],
        "agreement": {
            "with": EVIL,
            "this_only": 1,
            "other_only": 1,
            "confusion": [{"score": 2.0, "other": 2.0, "rows": 6}, {"score": 4.5, "other": 5.0, "rows": 2}],
        },
        "cascade": {"first": EVIL, "asked": 6, "taken_over": 4, "saved_calls": 4, "saved_usd": 0.02},
    }
    rule = {"id": "short", "state": "fail", "failing_rows": 2, "warn": None, "fail": 0, "drop": True}
    results = {
        "version": 1,
        "recipe": {"name": EVIL, "title": EVIL, "file": EVIL},
        "source": {
            "rows": 12,
            "sources": [{"name": EVIL, "path": EVIL, "format": "csv", "rows": 12, "quarantined": 1}],
        },
        "verdict": "fail",
        "reasons": [{"state": "fail", "text": EVIL, "place": EVIL}],
        "rules": [{**rule, "column": EVIL, "description": EVIL, "place": EVIL}],
        "categories": {EVIL: {"rows": 5, "keyword_hits": 7, "keywords": {EVIL: 7}, "description": EVIL}},
        "graders": {"accuracy": grader},
        "datasets": {"good": dataset},
        "expectations": [{"text": EVIL, "state": "pass", "value": None, "place": EVIL}],
        "provenance": {
            "alpaqual": "0",
            "sources": [{"name": EVIL, "sha256": [EVIL]}],
            "stages": {EVIL: EVIL},
        },
        "settings": {"samples": 100, "examples": 1},
    }
    results["source"]["quarantine_examples"] = [{"source": EVIL, "position": 7, "reason": None}]
    return report({**results, **changes}, {"short": [{"id": EVIL, "column": EVIL, "value": EVIL}]})


class Elements(HTMLParser):
    """The elements of a page, and whether each that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    elements.close()
    assert elements.open == []
    return elements
