"""Local models as they run on CUDA, on a device that is made up: what meets there, and how often it is waited for."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")
import devices

pytestmark = pytest.mark.slow


def test_a_batch_stays_on_the_device_and_is_waited_for_as_a_whole(device_library: Path) -> None:
    found = devices.run("grading.py", device_library, kind="llama")

    assert found["devices"] == ["cuda"]
    assert found["dtypes"] == ["torch.bfloat16"]
    # What is read goes there, and what was found comes back: once, whatever the number of spellings.
    assert max(found["choices"].values()) <= 2, found["choices"]
    # Of three rows: three tokens each, and two means, which one line asks for at once.
    assert [count for line, count in found["generation"].items() if line.startswith("number")] == [9]
    assert [count for line, count in found["ifd"].items() if line.startswith("number")] == [6]
    assert all(".tolist()" in line for each in ("generation", "ifd") for line in found[each] if "number" in line)
