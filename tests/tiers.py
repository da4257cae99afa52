"""The three tiers of the suite, chosen by ALPAQUAL_TESTS: `fast`, `full` (the default), `nightly`.

fast     what is not marked `slow`: no process is started and torch is not imported, which `Guard` holds tests to.
full     every test; properties are tried on fewer examples, processes are killed at fewer moments, command lines and
         training jobs share processes where the process itself is not what a test is about.
nightly  every test with every example and moment, each command line and each training job in processes of its own.

ALPAQUAL_EXAMPLES sets the examples of each property in place of the tier: `ALPAQUAL_EXAMPLES=2000 pytest tests/sources`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

TIER = os.environ.get("ALPAQUAL_TESTS") or "full"
if TIER not in ("fast", "full", "nightly"):
    raise ValueError(f"ALPAQUAL_TESTS={TIER}: it is one of fast, full, nightly")
FAST, NIGHTLY = TIER == "fast", TIER == "nightly"
EXAMPLES = int(os.environ.get("ALPAQUAL_EXAMPLES") or 0)

LONGEST = (
    "test_training.py",
    "test_training_runs.py",
    "test_local_models.py",
    "test_devices.py",
    "test_exports_train.py",
)
"""Files whose tests take longest: they run first."""

_PARTS = {"fast": 0.1, "full": 0.4, "nightly": 1.0}
_MARKED = re.compile(r"^pytestmark = (?:\[\s*)?pytest\.mark\.slow\b|^pytestmark = .*\bslow\b", re.MULTILINE)


def examples(nightly: int) -> int:
    """Examples that Hypothesis tries of a property in this tier; `nightly` is the number in the nightly one."""
    return EXAMPLES or max(2, round(nightly * _PARTS[TIER]))


def moments(full: int, nightly: int) -> range:
    """Moments at which a process is killed, in the full and in the nightly tier."""
    return range(nightly if NIGHTLY else full)


def fast_first(count: int, cases: Iterable[Any]) -> list[Any]:
    """The cases of a parameter, of which the fast tier tries the first `count`."""
    return [case if number < count else pytest.param(case, marks=pytest.mark.slow) for number, case in enumerate(cases)]


def marked_slow(file: Path) -> bool:
    """Whether a test file is slow as a whole, by its text: the fast tier does not import such a file."""
    return _MARKED.search(file.read_text(encoding="utf-8")) is not None


class Guard:
    """Fails a test of the fast tier that starts a process or imports torch."""

    def __init__(self) -> None:
        self.on = False
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raises AssertionError inside the call that a test of this tier may not make."""
        if not self.on:
            return
        if event == "subprocess.Popen" and Path(os.fsdecode(arguments[0])).name == "git":
            return  # every run asks git for the commit of its project
        if event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"):
            raise AssertionError(f"the fast tier starts no process ({event}): mark the test slow")
        if event == "import" and arguments[0] == "torch":
            raise AssertionError("the fast tier does not import torch: mark the test slow")
