"""Which rows are quoted."""

from __future__ import annotations

from typing import Any

from alpaqual.report.html_rows import near_rows


def test_rows_near_thresholds_are_shared_out_and_merged() -> None:
    def near(first: int, threshold: float) -> dict[str, Any]:
        texts = {
            "instruction": "",
            "input": "",
            "response": "",
            "reply": None,
            "reasons": [],
            "categories": None,
        }
        rows = [{"id": f"{n:02}", "score": n / 2, "fate": "kept", **texts} for n in range(first, first + 10)]
        return {"threshold": {"g": threshold}, "near": rows}

    datasets = {"one": near(0, 2.5), "two": near(4, 4.5), "none": {"threshold": {}, "near": []}}
    rows = near_rows(datasets, 6)
    assert len({row["id"] for row in rows}) == len(rows) == 6
    assert rows[0]["id"] == "05"
    assert {"04", "05", "08", "09"} <= {row["id"] for row in rows}
    assert {row["id"]: [each["dataset"] for each in row["standings"]] for row in rows}["05"] == ["one", "two"]
    assert near_rows(datasets, 0) == []
    assert len(near_rows(datasets, 1000)) == 14
