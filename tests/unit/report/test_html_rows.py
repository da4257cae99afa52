"""Which rows are quoted."""

from __future__ import annotations

from found import found

from alpaqual.report.html_rows import near_rows
from alpaqual.results.datasets import DatasetResult


def test_rows_near_thresholds_are_shared_out_and_merged() -> None:
    def near(first: int, threshold: float) -> DatasetResult:
        texts = {
            "instruction": "",
            "input": "",
            "response": "",
            "reply": None,
            "reasons": [],
            "categories": None,
        }
        rows = [{"id": f"{n:02}", "score": n / 2, "fate": "kept", **texts} for n in range(first, first + 10)]
        return found(DatasetResult, threshold={"g": threshold}, near=rows)

    datasets = {"one": near(0, 2.5), "two": near(4, 4.5), "none": found(DatasetResult)}
    rows = near_rows(datasets, 6)
    assert len({quoted.row.id for quoted in rows}) == len(rows) == 6
    assert rows[0].row.id == "05"
    assert {"04", "05", "08", "09"} <= {quoted.row.id for quoted in rows}
    assert {quoted.row.id: [dataset for dataset, _ in quoted.fates] for quoted in rows}["05"] == ["one", "two"]
    assert near_rows(datasets, 0) == []
    assert len(near_rows(datasets, 1000)) == 14
