"""A plan in words: each stage, whether its result is there, and if not, why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from alpaqual.plan.plan import STATEMENTS, Plan, Stage


@dataclass(frozen=True)
class Explained:
    """One stage of a plan: reused, or to be done and why."""

    stage: str
    reused: bool
    why: str


def explain_plan(plan: Plan, has: Callable[[str], bool], before: Mapping[str, Any]) -> list[Explained]:
    """Every stage. `has` tells whether the store holds a fingerprint; `before` is the record of the last run, by stage."""
    explained: list[Explained] = []
    for stage in plan.stages:
        if has(stage.fingerprint):
            where = "its result is in the store" if stage.job is None else "its model is in the run folder"
            explained.append(Explained(stage.name, True, where))
        else:
            explained.append(Explained(stage.name, False, "; ".join(_changes(stage, before.get(stage.name)))))
    return explained


def _changes(stage: Stage, before: Mapping[str, Any] | None) -> Iterator[str]:
    if before is None:
        yield "not done before"
        return
    if before["fingerprint"] == stage.fingerprint:
        yield "its result is no longer in the store"
        return
    changed = [path for path in _differences(before["settings"], stage.settings, "") if not path.startswith(STATEMENTS)]
    if not changed and before["settings"].get(STATEMENTS) != stage.settings[STATEMENTS]:
        yield "alpaqual now asks the data another way"
    if changed:
        yield ("changed: " + ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else ""))
    inputs = [name for name, value in stage.inputs.items() if before["inputs"].get(name) != value]
    if inputs:
        yield f"reads what changed: {', '.join(inputs)}"
    gone = [name for name in before["inputs"] if name not in stage.inputs]
    if gone:
        yield f"no longer reads: {', '.join(gone)}"


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif _short(old) and _short(new):
        yield f"{path} {_shown(old)} -> {_shown(new)}"
    else:
        yield path


def _short(value: Any) -> bool:
    return not isinstance(value, Mapping | list) and len(str(value)) <= 40


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
