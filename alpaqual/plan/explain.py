"""A plan in words: each stage is reused, or runs for a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from alpaqual.plan.plan import Plan
from alpaqual.plan.stage import STATEMENTS, Stage
from alpaqual.plan.stages import kind_of
from alpaqual.version import __version__


class StageRecord(msgspec.Struct, frozen=True):
    """What the last run wrote down about a stage, which the next plan is compared with."""

    fingerprint: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    """Fingerprint of each input, by its name."""
    version: str = ""
    """The version of alpaqual; empty in a record of an earlier one."""
    made: bool = True
    """Whether the run had a result of the stage when it wrote this down."""


@dataclass(frozen=True)
class Explained:
    """One stage of a plan: reused, or why it runs."""

    stage: str
    reused: bool
    why: str


def explain_plan(plan: Plan, has: Callable[[Stage], bool], before: Mapping[str, StageRecord]) -> list[Explained]:
    """Explain every stage. `has` returns whether a stage has a result; `before` is the record of the last run, by stage."""
    explained: list[Explained] = []
    for stage in plan.stages:
        if has(stage):
            explained.append(Explained(stage.name, True, f"its result is in {kind_of(stage).place}"))
        else:
            explained.append(Explained(stage.name, False, "; ".join(_changes(stage, before.get(stage.name)))))
    return explained


def record_text(plan: Plan, made: Callable[[Stage], bool]) -> str:
    """The record of every stage, by its name, as the text of `stages.json`; `made` returns whether the run has its result."""
    record = {
        stage.name: StageRecord(
            stage.fingerprint, stage.all_settings, stage.input_fingerprints, __version__, made(stage)
        )
        for stage in plan.stages
    }
    return json.dumps(msgspec.to_builtins(record), indent=1, sort_keys=True, ensure_ascii=False)


def read_record(content: bytes) -> dict[str, StageRecord]:
    """The record that `record_text` wrote; empty where the text is another one, as it only explains."""
    try:
        return msgspec.json.decode(content, type=dict[str, StageRecord])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _changes(stage: Stage, before: StageRecord | None) -> Iterator[str]:
    if before is None:
        yield "no earlier result"
        return
    if before.fingerprint == stage.fingerprint:
        yield (
            f"its result is no longer in {kind_of(stage).place}" if before.made else "the last run did not complete it"
        )
        return
    changed = [
        path for path in _differences(before.settings, stage.all_settings, "") if not path.startswith(STATEMENTS)
    ]
    if not changed and before.settings.get(STATEMENTS) != stage.all_settings[STATEMENTS]:
        other = "a new alpaqual version" if before.version != __version__ else "other parts of the recipe"
        yield f"its SQL changed with {other}"
    if changed:
        yield ("changed: " + ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else ""))
    inputs = [name for name, value in stage.input_fingerprints.items() if before.inputs.get(name) != value]
    if inputs:
        yield f"its inputs changed: {', '.join(inputs)}"
    gone = [name for name in before.inputs if name not in stage.input_fingerprints]
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
