"""The Markdown report: its structure is ours whatever the data says, it fits a comment, and it is the same twice."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from found import report as made
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from tiers import examples

from alpaqual.report.markdown import MOST_BYTES, to_markdown
from alpaqual.report.report import Report
from alpaqual.values import State

HOSTILE = [
    "a | b \\| c \\\\| d",
    "two\nlines\r\n\r\n# heading\n",
    "`tick` ``` fence\n```\ncode\n```",
    "<b>bold</b><script>alert(1)</script></details></summary></sub><!-- open",
    "--> closed <details><summary>mine",
    "@name #12 GH-12 https://example.com www.example.com a@b.c",
    "![i](http://x/y.png) [l](javascript:alert(1)) <http://x>",
    "bidi \u202e\u2066 zero\u200bwidth nul \x00 esc \x1b[31m \ud800",
    "| a |\n|---|\n| b |",
    "- item\n1. item\n> quote\n---\n===",
    "*a* **b** __c__ ~~d~~ $e$",
    "&lt;i&gt; &#64;name &copy;",
    "\\",
    " ",
]
GFM = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = re.compile(r"<!-- alpaqual:report [A-Za-z0-9_.-]+ -->|</?details>|</?summary>|</?sub>")
LINKED = re.compile(r"@[A-Za-z0-9]|#[0-9]|\bgh-[0-9]|(?:https?|ftp)://\w|\bwww\.\w|\b(?:mailto|xmpp):\w", re.IGNORECASE)
FATES = dict.fromkeys(["kept", "below_threshold", "unscored", "removed_by_rule", "removed_by_quota", "not_sampled"], 7)


def report(text: str = "plain", rules: int = 3, categories: int = 3, **changes: Any) -> Report:
    """A report in which every text that may come from data, a recipe or a model is `text`."""
    names = [f"{text}{i}" if i else text for i in range(categories)]
    counts = {"rows": 30, "keep_rate": 0.5, "eligible": 60, "at_threshold": 20, "below_threshold": 10, "shortfall": 2}
    quotas = [
        {"category": text, "limit": "min_rows", "asked": 5, "wanted": 5, "rows": 3, "shortfall": 2, "state": state}
        for state in ("fail", "pass")
    ]
    dataset = {
        **counts,
        "threshold": {text: 4.5},
        "from": None,
        "fates": FATES,
        "quotas": quotas,
        "categories": {name: {**counts, "fates": FATES} for name in names},
    }
    grader = {
        "dimension": text,
        "source": text,
        "models": [text, text],
        "rows": 60,
        "scored": 50,
        "unscored": 10,
        "unscored_reasons": {text: 10},
        "calls_made": 1,
        "calls_reused": 2,
        "input_tokens": 3,
        "output_tokens": 4,
        "cost_usd": 0.5,
        "bought_usd": 0.0034,
        "calls_per_second": 12.5,
        "scale": {"min": 0.0, "max": 5.0, "step": 0.5},
        "histogram": [{"score": 4.5, "rows": 50}],
        "health": [
            {"check": check, "value": 0.5, "warn": text, "fail": None, "state": state, "text": text}
            for check, state in (("length", "pass"), ("most_frequent", "warn"), ("agreement.kappa", "fail"))
        ],
        "agreement": {
            "with": text,
            "rows": 50,
            "this_only": 2,
            "other_only": 1,
            "spearman": 0.5,
            "kappa": None,
            "confusion": [{"score": 4.5, "other": 4.0, "rows": 49}, {"score": 4.0, "other": 4.0, "rows": 1}],
        },
        "cascade": {"first": text, "asked": 40, "taken_over": 20, "saved_calls": 19, "saved_usd": 1.5},
    }
    rule = {"failing_rows": 5, "rate": 0.1, "warn": 0, "fail": "5%", "description": text, "column": text, "drop": True}
    states = ["fail", "warn", "pass"]
    results: dict[str, Any] = {
        "version": 1,
        "verdict": "fail",
        "recipe": {"name": "trial", "title": f"About {text}", "file": text},
        "source": {"rows": 60, "quarantined": 1},
        "reasons": [
            {"state": states[i % 2], "text": f"rule {text}{i}: 5 of 60 rows fail", "place": f"{text}:{i}"}
            for i in range(rules)
        ],
        "rules": [{**rule, "id": f"{text}{i}", "state": states[i % 3], "place": f"{text}:{i}"} for i in range(rules)],
        "categories": {name: {"rows": 60, "keyword_hits": 0, "keywords": {}} for name in names},
        "graders": {text: grader},
        "datasets": {f"d{text}d": dataset, "full": {**dataset, "threshold": {}, "quotas": []}},
        "expectations": [{"text": f"expected {text}", "state": "pass", "value": 5}],
        "provenance": {"alpaqual": "0.1.0", "sources": [{"name": text, "sha256": ["a" * 64] * 7}], "stages": {}},
    }
    examples = {
        f"{text}{i}": [{"id": "0123456789abcdef", "column": text, "value": text}] * 5 for i in range(min(rules, 40))
    }
    return made({**results, **changes}, examples)


def flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flat(token.children or [])


def skeleton(text: str) -> list[str]:
    """What a Markdown text is made of, without its words."""
    parts: list[str] = []
    for token in flat(GFM.parse(text)):
        if token.type in ("html_block", "html_inline"):
            assert "<" not in OURS.sub("", token.content), token.content
            parts.append(f"{token.type} {OURS.findall(token.content)}")
        elif token.type not in ("text", "text_special", "inline"):
            parts.append(f"{token.type} {token.tag}")
    return parts


def shown(text: str) -> list[str]:
    """The text that a reader sees beside code, where GitHub looks for names, numbers and addresses."""
    found: list[str] = []
    for token in flat(GFM.parse(text)):
        if token.type == "inline":
            kinds = ("text", "text_special")
            found.append("".join(child.content if child.type in kinds else " " for child in token.children or []))
        elif token.type == "html_block":
            found.append(html.unescape(token.content))
    return found


def github_cells(line: str) -> int:
    """Cells of a table's row as GitHub counts them: a backslash takes the sign after it, a second backslash too."""
    return re.findall(r"\\[!-/:-@\[-`{-~]|(\|)", line.strip()).count("|") - 1


def tables(text: str) -> Iterator[list[str]]:
    yield from (block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE))


def assert_ours(text: str, benign: str) -> None:
    assert skeleton(text) == skeleton(benign)
    for words in shown(text):
        assert not LINKED.search(words), words
    found, wanted = list(tables(text)), list(tables(benign))
    assert [len(table) for table in found] == [len(table) for table in wanted]
    for table in found:
        assert len({github_cells(line) for line in table}) == 1, table
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_changes_no_structure(text: str) -> None:
    benign = to_markdown(report("plain"))
    assert_ours(to_markdown(report(text)), benign)


@settings(max_examples=examples(60), deadline=None)
@given(
    text=st.text(st.one_of(st.characters(), st.sampled_from("|\\`<>&@#*_[]()!-+=~$/\n 1a")), min_size=1, max_size=30)
)
def test_no_text_changes_the_structure(text: str) -> None:
    assert_ours(to_markdown(report(text)), to_markdown(report("plain")))


def test_what_the_report_is_made_of() -> None:
    text = to_markdown(report())
    assert text.startswith("<!-- alpaqual:report trial -->\n## ❌ FAIL: About plain (2 failed, 1 warning)\n")
    headings = re.findall(r"^###? (.*)$", text, re.MULTILINE)
    assert headings[1:] == [
        "Failures",
        "Warnings",
        "Datasets",
        "Category balance: dplaind",
        "Scores: plain",
        "Graders",
        "Grader health",
    ]
    assert "and 2 more" in text
    assert text.endswith("</sub>\n")
    assert "reproduce: `alpaqual run plain`" in text


def test_the_same_report_is_the_same_bytes() -> None:
    for words in ("plain", *HOSTILE):
        assert to_markdown(report(words)) == to_markdown(report(words))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["plain", HOSTILE[0], HOSTILE[3] * 20, "é🎉" * 100])
@pytest.mark.parametrize(("rules", "categories"), [(500, 3), (3, 500), (500, 500), (4_000, 4_000)])
def test_a_long_report_fits_a_comment_and_says_what_it_leaves_out(text: str, rules: int, categories: int) -> None:
    whole = to_markdown(report(text, rules, categories))
    assert len(whole.encode()) <= MOST_BYTES == 60_000
    assert "more" in whole or "report.html" in whole
    if rules > 50 and "### Failures" in whole:
        assert f"… and {rules // 2 - 50} more" in whole
    assert whole.startswith("<!-- alpaqual:report trial -->\n## ❌ FAIL: ")
    assert whole.endswith("</sub>\n")
    html_tokens = [part for part in skeleton(whole) if part.startswith("html")]
    opened = re.findall(r"<(/?)(details|summary|sub)>", "".join(html_tokens))
    assert sum(1 if not closing else -1 for closing, _ in opened) == 0


def test_of_many_categories_the_first_are_listed_and_the_rest_counted() -> None:
    text = to_markdown(report(rules=1, categories=500))
    assert "… and 450 more categories." in text


def test_many_datasets_fit_too() -> None:
    small = report()
    datasets: Mapping[str, Any] = {f"d{i}": small.results.datasets["dplaind"] for i in range(400)}
    text = to_markdown(report(datasets=datasets))
    assert len(text.encode()) <= MOST_BYTES
    assert "the rest is in report.html and results.json" in text


@pytest.mark.parametrize("state", list(State))
def test_every_verdict_has_its_sign(state: State) -> None:
    text = to_markdown(report(verdict=state, reasons=[{"state": state, "text": "why", "place": ""}]))
    assert {"pass": "✅ PASS", "warn": "⚠️ WARN", "incomplete": "⏸️ INCOMPLETE", "fail": "❌ FAIL", "error": "🛑 ERROR"}[
        state
    ] in text.splitlines()[1]


def test_the_report_of_a_failed_stage_is_short_and_whole() -> None:
    results = {
        "version": 1,
        "verdict": "error",
        "recipe": {"name": "trial", "title": "", "file": "recipe.yaml"},
        "reasons": [{"state": "error", "text": "loading: it broke <b>", "place": ""}],
        "source": {"rows": 0},
        "datasets": {},
    }
    text = to_markdown(made(results))
    assert "🛑 ERROR" in text
    assert "- loading: it broke &#60;b&#62;\n" in text
