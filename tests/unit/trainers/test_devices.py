"""Training as it runs on CUDA, on a device that is made up: what meets there, and where it is waited for."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
import devices  # noqa: E402

from alpaqual.trainers._devices import peak_of  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "settings", [{}, {"method": "lora", "dropout": 0.1, "world": 2, "activation_checkpointing": True}]
)
def test_a_step_stays_on_the_device_and_waits_for_it_at_its_end_alone(settings, device_library):
    if settings.get("method") == "lora":
        pytest.importorskip("peft", reason="needs the extra 'lora'")
    found = devices.run("training_step.py", device_library, **settings)
    assert found["devices"] == ["cuda"]
    assert found["dtypes"] == ["torch.float32"]
    assert found["peak"] == 989e12 * settings.get("world", 1)
    assert found["attention"] == "alpaqual_varlen"
    # A loss a micro-batch, and the norm: numbers that are asked for once all is under way.
    waits = found["learning"]
    assert {line.partition(":")[0] for line in waits} == {"number"}, waits
    assert sorted(waits.values()) == [1, found["batches"]], waits
    assert list(found["measuring"].values()) == [1], found["measuring"]


def test_the_peak_is_that_of_the_device_and_not_of_a_faster_one_of_its_name():
    assert peak_of("NVIDIA H200") == peak_of("NVIDIA H100 80GB HBM3") == peak_of("NVIDIA GH200 480GB") == 989e12
    assert peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("NVIDIA H100 NVL") == peak_of("NVIDIA H200 NVL") == 835e12
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_of("NVIDIA A10G") is peak_of("CPU") is None
