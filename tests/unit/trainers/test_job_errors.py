"""The error that a job's log ends with, before torchrun's own summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpaqual.job_folder import error_in

SUMMARY = ["raise ChildFailedError(", "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:", *["="] * 30]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["[rank0]:     return f(x)", "[rank0]: IndexError: index out of range in self"], "IndexError: index out of range in self"),
        (["[rank0]: torch.OutOfMemoryError: CUDA out of memory"], "torch.OutOfMemoryError: CUDA out of memory"),
        (["[rank0]: ValueError: a", "[rank12]: KeyError: 'b'"], "KeyError: 'b'"),
        (["step 1/8  loss 10.3998", "Killed"], ""),
        (["a text: ValueError: of a row"], ""),
        (["[rank0]: ValueError: of an earlier attempt", *["="] * 40], ""),
    ],
)  # fmt: skip
def test_the_error_of_a_process_is_found(lines: list[str], error: str, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("\n".join([*lines, *SUMMARY]))
    assert error_in(tmp_path) == error


def test_a_job_without_a_log_has_no_error(tmp_path: Path) -> None:
    assert error_in(tmp_path) == ""
