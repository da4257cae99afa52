"""Fakes the device in this process, and counts where a program synchronizes. Imported before torch."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import json
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ctypes.CDLL(sys.argv[1])
SETTINGS: dict[str, Any] = json.loads(sys.argv[2])

import torch  # noqa: E402
import transformers  # noqa: E402
from torch._subclasses import fake_impls  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from devices import in_package  # noqa: E402

with contextlib.suppress(ImportError):
    import peft  # noqa: F401
# Modules that look for a device on import are imported now, and find none.
_ = transformers.get_scheduler, transformers.Cache

WAITS: collections.Counter[str] = collections.Counter()
"""Lines of alpaqual that synchronize with the device, and how often."""


class _Stream:
    def __init__(self, *words: Any, **more: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *words, **more: _Stream() if name == "record_event" else None

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *words: Any) -> None:
        pass


class _Guard(_Stream):
    pass


_ONE = _Stream()
_GIB = 2**30
for name, value in {
    "is_available": lambda: True,
    "is_initialized": lambda: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "set_device": lambda device: None,
    "get_device_name": lambda device=None: "NVIDIA H200",
    "get_device_capability": lambda device=None: (9, 0),
    "mem_get_info": lambda device=None: (139 * _GIB, 139 * _GIB),
    "max_memory_allocated": lambda device=None: _GIB,
    "manual_seed_all": lambda seed: None,
    "get_rng_state": lambda device=None: torch.empty(16, dtype=torch.uint8, device="cpu"),
    "set_rng_state": lambda state, device=None: None,
    "synchronize": lambda device=None: _note("synchronize"),
    "empty_cache": lambda: None,
    "current_stream": lambda device=None: _ONE,
    "default_stream": lambda device=None: _ONE,
    "stream": lambda stream: _ONE,
    "Stream": _Stream,
    "Event": _Stream,
    "device": _Guard,
    "_DeviceGuard": _Guard,
    "_lazy_init": lambda: None,
}.items():
    setattr(torch.cuda, name, value)
# Tensors made of Python numbers are made on the CPU first, where there is memory.
FakeTensorMode.avoid_device_init = True


def _note(what: str) -> None:
    frames = [frame for frame in reversed(traceback.extract_stack()) if in_package(frame.filename)]
    WAITS[f"{what}: {Path(frames[0].filename).name}: {frames[0].line}" if frames else what] += 1


def _number(mode: Any, function: Any, tensor: Any) -> Any:
    """What `.item()` returns: a fake tensor has no number."""
    if tensor.constant is not None:
        return tensor.constant.item()
    if tensor.device.type == "cuda":
        _note("number")
    if tensor.dtype.is_floating_point:
        return 1.0
    return tensor.dtype is torch.bool if tensor.device.type == "cpu" else 1


fake_impls.op_implementations_dict[torch.ops.aten._local_scalar_dense.default] = _number
FakeTensor.__deepcopy__ = lambda tensor, memo: tensor.clone()  # type: ignore[method-assign]


class Watch(TorchDispatchMode):
    """Counts each copy between devices that the program waits for."""

    def __torch_dispatch__(self, function: Any, types: Any, words: Any = (), more: Any = None) -> Any:
        made = function(*words, **(more or {}))
        copies = {"aten::to": 0, "aten::_to_copy": 0, "aten::copy_": 1}
        if function._schema.name in copies and not (more or {}).get("non_blocking"):
            source = words[copies[function._schema.name]]
            if isinstance(source, torch.Tensor) and source.device.type != made.device.type:
                _note("copy")
        return made


def _apply(module: Any, function: Any, recurse: bool = True) -> Any:
    """Like torch's own, without swapping tensors, which fake ones do not support."""
    for child in module.children():
        child._apply(function)
    for name, weight in module._parameters.items():
        if weight is not None:
            with torch.no_grad():
                moved = function(weight)
            if moved is not weight:
                module._parameters[name] = torch.nn.Parameter(moved, weight.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


torch.nn.Module._apply = _apply
_tensor = torch.tensor


def _made(data: Any, *words: Any, device: Any = None, **more: Any) -> Any:
    """torch.tensor, with what fake tensors do not support."""
    if device is None or torch.device(device).type != "cuda":
        return _tensor(data, *words, device=device, **more)
    with unset_fake_temporarily():
        size = _tensor(data, dtype=more.get("dtype"))
    if size.numel():
        _note("copy")
    return torch.empty(size.shape, dtype=size.dtype, device=device)


torch.tensor = _made


def mode() -> SimpleNamespace:
    """In `.fake` no tensor has memory, and real tensors are refused; `.watch` counts synchronization."""
    return SimpleNamespace(fake=FakeTensorMode(allow_non_fake_inputs=False), watch=Watch())


def report(**found: Any) -> None:
    """Print the result as the last line, which the test reads."""
    sys.stdout.write(json.dumps(found) + "\n")
