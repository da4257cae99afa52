"""Makes a grader's plug-in from the recipe, and the settings that decide its scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.graders._prompt_spec import Example, PromptSpec
from alpaqual.graders._scores import Level, ScoreSpec
from alpaqual.graders.model import scores_of
from alpaqual.plan.stage import fingerprint
from alpaqual.prompt_slots import named_slots, slot_key
from alpaqual.recipe.graders import Example as ExampleText
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.thinking import refuses_temperature, thinking_tokens
from alpaqual.registry import find
from alpaqual.reply_places import FIRST_LINE
from alpaqual.values import Row

SCORE_TOKENS = 16
"""Tokens of a reply that is a score: the paper's prompt asks for it on the first line, and the rest is not read."""
TOKENS_A_SCORE = 24
"""Further tokens for each of several scores: its key and its number in JSON."""
RATIONALE_TOKENS = 512
TURN_GRADES = 1
"""Raised when the same conversation has other turns to grade, or their scores another combination: part of fingerprints."""


def grader_plugin(grader: Grader, template: str | None, model: str) -> GraderPlugin:
    """The plug-in of a grader; `model` is the model id of its requests, `template` the text of the prompt file."""
    plugin: GraderPlugin = grader.kind_plugin(prompt_spec(grader, template), model)
    return plugin


def prompt_spec(grader: Grader, template: str | None) -> PromptSpec:
    """The parts of a grader's prompt."""
    scale = grader.scale
    expectation = grader.scoring == "expectation"
    return PromptSpec(
        grader.dimension,
        scale.min,
        scale.max,
        ({} if expectation else _sampling(grader)) | _as_given(grader),
        template,
        scale.step,
        [
            Example(_shown(each, template or ""), each.score or 0.0, each.rationale, each.scores)
            for each in grader.examples
        ],
        grader.follows_schema,
        grader.keep_rationale,
        scores_of(scale.min, scale.max, scale.step or 1) if expectation else (),
        grader.reply,
        grader.cache,
        [
            ScoreSpec(name, part.scale.min, part.scale.max, part.scale.step, _levels(part.levels))
            for name, part in (grader.scores or {}).items()
        ],
        _levels(grader.levels),
        grader.fence,
    )


def _levels(levels: Mapping[str, str] | None) -> list[Level]:
    return [(float(level), text) for level, text in (levels or {}).items()]


def _shown(example: ExampleText, template: str) -> Row:
    """An example as a row, with what the prompt's slots show for it."""
    values = {slot_key(kind, name): example.columns.get(name, "") for kind, name in named_slots(template)}
    return Row("", example.instruction, example.input, example.response, values=values)


def reply_tokens(grader: Grader) -> int:
    """Maximum length of a reply, in tokens, thinking included."""
    score = SCORE_TOKENS + TOKENS_A_SCORE * len(grader.scores or ())
    answer = RATIONALE_TOKENS if grader.keep_rationale else score
    return grader.max_tokens or answer + thinking_tokens(grader.parameters)


def _sampling(grader: Grader) -> dict[str, Any]:
    silent = grader.temperature is None or refuses_temperature(grader.parameters)
    return {"max_tokens": reply_tokens(grader)} | ({} if silent else {"temperature": grader.temperature})


def _as_given(grader: Grader) -> dict[str, Any]:
    """What the recipe adds to requests and may change the answer: a request without it keeps its key."""
    given = {"parameters": grader.parameters, "headers": grader.answer_headers}
    return {name: value for name, value in given.items() if value}


def prompt_settings(grader: Grader, template: str | None, model: str) -> dict[str, Any]:
    """All that decides a grader's scores, for its stage's fingerprint: never its address, its speed or its budget."""
    settings = {
        "model": model,
        "kind": grader.kind,
        "dimension": grader.dimension,
        "scale": msgspec.to_builtins(grader.scale),
        "prompt": None if template is None else fingerprint(template),
        "parameters": dict(prompt_spec(grader, template).parameters),
        "scoring": grader.scoring,
        "structured": grader.follows_schema,
        "examples": msgspec.to_builtins(grader.examples),
        "version": grader.kind_plugin.VERSION,
    }
    if grader.scores:
        kept = {name: {"scale": part.scale, "levels": part.levels} for name, part in grader.scores.items()}
        settings["scores"] = [[name, msgspec.to_builtins(each)] for name, each in kept.items()]
    settings |= {"levels": dict(grader.levels)} if grader.levels else {}
    settings |= {"samples": grader.samples} if grader.samples > 1 else {}
    settings |= {"fence": True} if grader.fence else {}
    if grader.reply != FIRST_LINE:
        settings["reply"] = grader.reply
    if grader.cache:
        settings["cache"] = True
    if grader.live and grader.health.repeats is not None:
        settings["repeats"] = grader.health.repeats.rows
    if grader.of_turns is not None:
        settings["turns"] = [grader.of_turns, TURN_GRADES]
    if grader.cascade is not None:
        settings["cascade"] = msgspec.to_builtins(grader.cascade)
    return settings


def request_model(model: str, digests: Mapping[str, str]) -> str:
    """The model id of requests: a local model is identified by its files' digest, so that moved files keep their replies."""
    provider, digest = model.partition("/")[0], digests.get(model)
    return f"{provider}/{digest}" if digest and find("llm", provider).LOCAL else model
