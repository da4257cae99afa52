"""What another threshold would keep."""

from __future__ import annotations

from found import found

from alpaqual.report.html_what_if import what_if
from alpaqual.results.datasets import DatasetResult
from alpaqual.results.graders import GraderResult


def test_a_threshold_between_bins_keeps_what_the_run_counted() -> None:
    scale = {"min": 0.0, "max": 1.0, "step": None}
    scores = [{"score": 0.5, "rows": 10}, {"score": 0.6, "rows": 4}]
    dataset = found(DatasetResult, threshold={"g": 0.51}, scores=scores, eligible=20, at_threshold=9)
    others = what_if(dataset, {"g": found(GraderResult, scale=scale)}, 10)
    assert others is not None
    assert dict(zip(others.stops, others.groups[0].kept, strict=True)) == {0.5: 14, 0.51: 9, 0.6: 4}
    assert others.stops[others.start] == 0.51


def test_two_thresholds_have_no_slider() -> None:
    assert what_if(found(DatasetResult, threshold={"a": 1, "b": 1}, scores=[{"score": 1, "rows": 1}]), {}, 10) is None
