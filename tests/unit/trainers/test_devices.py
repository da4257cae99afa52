"""Training on a fake CUDA device: devices and dtypes of its tensors, and where it synchronizes."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
import devices  # noqa: E402

from alpaqual.trainers._devices import peak_of  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "settings", [{}, {"method": "lora", "dropout": 0.1, "world": 2, "activation_checkpointing": True}]
)
def test_a_step_synchronizes_only_at_its_end(settings, device_library):
    if settings.get("method") == "lora":
        pytest.importorskip("peft", reason="needs the extra 'lora'")
    found = devices.run("training_step.py", device_library, **settings)
    assert found["devices"] == ["cuda"]
    assert found["dtypes"] == ["torch.float32"]
    assert found["peak"] == 989e12 * settings.get("world", 1)
    assert found["attention"] == "alpaqual_varlen"
    # A loss a micro-batch, and the norm: read once all kernels are queued.
    waits = found["learning"]
    assert {line.partition(":")[0] for line in waits} == {"number"}, waits
    assert sorted(waits.values()) == [1, found["batches"]], waits
    assert list(found["measuring"].values()) == [1], found["measuring"]


def test_files_of_a_checkout_called_alpaqual_are_not_the_packages_own():
    package = Path("/home/alpaqual/alpaqual")
    assert devices.in_package("/home/alpaqual/alpaqual/llm/local.py", package)
    assert not devices.in_package("/home/alpaqual/tests/devices/training_step.py", package)


def test_the_peak_is_of_the_variant_of_a_gpu():
    assert peak_of("NVIDIA H200") == peak_of("NVIDIA H100 80GB HBM3") == peak_of("NVIDIA GH200 480GB") == 989e12
    assert peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("NVIDIA H100 NVL") == peak_of("NVIDIA H200 NVL") == 835e12
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_of("NVIDIA A10G") is peak_of("CPU") is None
