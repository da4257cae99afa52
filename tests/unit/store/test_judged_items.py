"""Which judged items a page quotes: wins and losses of each category first, and no more than fit."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from alpaqual.store.judged_items import EXAMPLES, MOST_TEXT, NO_ITEMS, judged_items

sys.path.append(str(Path(__file__).parents[1] / "report"))
from evaluation_results import judged_rows, write_verdicts


def test_each_category_has_its_clearest_wins_and_losses_first(tmp_path: Path) -> None:
    rows = judged_rows(300)
    for index, row in enumerate(rows):
        if row["verdict"] == "win":
            row["score_a_first_1"] = 7.0 + index / 100
    write_verdicts(tmp_path, rows)
    found = judged_items(tmp_path)
    assert found.total == len(found.rows) == 300
    first = [row for row in found.rows if row["example"]]
    decided = Counter((row["category"], row["verdict"]) for row in rows if row["verdict"] in ("win", "lose"))
    assert Counter((row["category"], row["verdict"]) for row in first) == {
        group: min(count, EXAMPLES) for group, count in decided.items()
    }
    wins = [row["id"] for row in first if row["category"] == "math" and row["verdict"] == "win"]
    by_score = sorted(
        (row for row in rows if row["category"] == "math" and row["verdict"] == "win"),
        key=lambda row: -row["score_a_first_1"],
    )
    assert wins == [row["id"] for row in by_score[:EXAMPLES]]


def test_fewer_items_leave_out_ties_first_and_no_category(tmp_path: Path) -> None:
    write_verdicts(tmp_path, judged_rows(300))
    examples = sum(row["example"] for row in judged_items(tmp_path).rows)
    found = judged_items(tmp_path, most=examples)
    assert len(found.rows) == examples < 60
    assert found.total == 300
    assert {row["verdict"] for row in found.rows} == {"win", "lose"}
    assert len({row["category"] for row in found.rows}) == 9
    assert {row["category"] for row in judged_items(tmp_path, most=18).rows} == {row["category"] for row in found.rows}


def test_long_texts_are_cut_and_stay_within_the_limit(tmp_path: Path) -> None:
    write_verdicts(tmp_path, judged_rows(20, text="x" * (MOST_TEXT + 1)))
    found = judged_items(tmp_path, characters=10 * MOST_TEXT)
    assert 1 <= len(found.rows) <= 2
    assert all(row["cut"] and len(row["answer_a"]) == MOST_TEXT for row in found.rows)
    assert len(judged_items(tmp_path, characters=1).rows) == 1


@pytest.mark.parametrize("rows", [[], [{"id": "one", "verdict": None, "category": None, "question": None}]])
def test_no_items_and_items_without_anything(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    assert judged_items(tmp_path) == NO_ITEMS
    empty = judged_rows(1)
    write_verdicts(tmp_path, [dict.fromkeys(empty[0]) | row for row in rows] if rows else [dict.fromkeys(empty[0])])
    found = judged_items(tmp_path)
    assert [row["example"] for row in found.rows] == [False]
    assert found.rows[0]["group"] is None
