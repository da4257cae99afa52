"""A grader that asks a model -> the plug-in that makes its requests, and what decides its replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.graders.model import Asking, Example, scores_of
from alpaqual.plan.stage import fingerprint
from alpaqual.recipe.graders import Grader
from alpaqual.registry import find
from alpaqual.values import Row

SCORE_TOKENS = 16
"""Tokens of a reply that is a score: the paper's prompt asks for it on the first line, and what follows is not read."""
RATIONALE_TOKENS = 512


def grader_plugin(grader: Grader, template: str | None, model: str) -> GraderPlugin:
    """What asks about rows; `model` is the id that requests carry, `template` the text of the recipe's prompt file."""
    plugin: GraderPlugin = find("graders", grader.kind)(asking_of(grader, template), model)
    return plugin


def asking_of(grader: Grader, template: str | None) -> Asking:
    """What a grader asks about every row."""
    scale = grader.scale
    expects = grader.scoring == "expectation"
    return Asking(
        grader.dimension,
        scale.min,
        scale.max,
        {} if expects else _sampling(grader),
        template,
        scale.step,
        [
            Example(Row("", each.instruction, each.input, each.response), each.score, each.rationale)
            for each in grader.examples
        ],
        grader.structured,
        grader.keep_rationale,
        scores_of(scale.min, scale.max, scale.step or 1) if expects else (),
    )


def reply_tokens(grader: Grader) -> int:
    """What a reply may be long, in tokens."""
    return grader.max_tokens or (RATIONALE_TOKENS if grader.keep_rationale else SCORE_TOKENS)


def _sampling(grader: Grader) -> dict[str, Any]:
    return {"max_tokens": reply_tokens(grader)} | (
        {} if grader.temperature is None else {"temperature": grader.temperature}
    )


def asking_settings(grader: Grader, template: str | None, model: str) -> dict[str, Any]:
    """All that decides a grader's scores, for its stage's fingerprint: never its address, its speed or its budget."""
    asking = asking_of(grader, template)
    settings = {
        "model": model,
        "kind": grader.kind,
        "dimension": grader.dimension,
        "scale": msgspec.to_builtins(grader.scale),
        "prompt": None if template is None else fingerprint(template),
        "parameters": dict(asking.parameters),
        "scoring": grader.scoring,
        "structured": grader.structured,
        "examples": msgspec.to_builtins(grader.examples),
        "version": find("graders", grader.kind).VERSION,
    }
    if grader.live and grader.health.repeats is not None:
        settings["repeats"] = grader.health.repeats.rows
    if grader.cascade is not None:
        settings["cascade"] = msgspec.to_builtins(grader.cascade)
    return settings


def request_model(model: str, digests: Mapping[str, str]) -> str:
    """The model's id in requests: a local model goes by what its files hold, so that moving them asks nothing again."""
    digest = digests.get(model)
    return f"local/{digest}" if digest and model.startswith("local/") else model
