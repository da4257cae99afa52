"""The stages `judging.<judge>.<a>-vs-<b>.<test set>`: votes of one judge on the answers of two models, in both orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from alpaqual.plan.answering import AnswerStage, test_set_key
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.evaluation_facts import JudgeFacts
from alpaqual.plan.facts import StageFacts
from alpaqual.plan.stage import KeptTable, Stage, fingerprint
from alpaqual.plan.tables import VOTED, votes
from alpaqual.recipe.evaluation import Judge, prompt_key
from alpaqual.recipe.thinking import refuses_temperature, thinking_tokens
from alpaqual.registry import find, names

VERSION = 3
"""Raised when the same replies give other votes: part of every fingerprint."""
RECORDED = "replies"
"""Name of the stage, and of the judge, of recorded replies."""
THINKING_TOKENS = 1024
"""Tokens of the reply behind a model's thinking."""


@dataclass(frozen=True, kw_only=True)
class JudgeStage(Stage):
    """Votes on the answers of `a` and `b`; of recorded replies, on all pairs that their file has."""

    kind: ClassVar[str] = "judging"
    facts: ClassVar[type[StageFacts]] = JudgeFacts
    judge: str
    a: str = ""
    b: str = ""
    test_set: str = ""

    @property
    def subject(self) -> str:
        return f"{self.judge}.{self.a}-vs-{self.b}.{self.test_set}" if self.a else self.judge

    @property
    def recorded(self) -> bool:
        """Whether the votes are read from a file of replies."""
        return not self.a


def judge_stages(compilation: Compilation) -> Iterator[JudgeStage]:
    """A stage for each judge, pair and test set; one for a file of recorded replies."""
    evaluation = compilation.recipe.text.evaluation
    if evaluation is None:
        return
    if evaluation.replies is not None:
        settings = {"version": VERSION, "replies": compilation.digests.get(evaluation.replies, "")}
        settings |= {"prompt": evaluation.prompt, "orders": evaluation.orders, "judges": _versions()}
        settings |= {"pairs": evaluation.pairs} if evaluation.pairs else {}
        yield JudgeStage(judge=RECORDED, settings=settings, statements=(_kept(RECORDED),))
        return
    for name, judge in evaluation.named_judges.items():
        for a, b in evaluation.pairs:
            for test_set in evaluation.named_test_sets:
                subject = f"{name}.{a}-vs-{b}.{test_set}"
                yield JudgeStage(
                    judge=name,
                    a=a,
                    b=b,
                    test_set=test_set,
                    settings=_settings(compilation, judge, test_set),
                    inputs=compilation.inputs((AnswerStage, f"{a}.{test_set}"), (AnswerStage, f"{b}.{test_set}")),
                    statements=(_kept(subject),),
                )


def _kept(subject: str) -> KeptTable:
    return KeptTable(votes(subject), f"SELECT * FROM {VOTED}")


def _versions() -> dict[str, int]:
    return {kind: find("judges", kind).VERSION for kind in names("judges")}


def judge_parameters(judge: Judge) -> dict[str, Any]:
    """The parameters of a judge's requests; without `max_tokens`, the judge's kind sets the longest reply."""
    thinking = thinking_tokens(judge.parameters)
    limit = judge.max_tokens or (THINKING_TOKENS + thinking if thinking else None)
    silent = judge.temperature is None or refuses_temperature(judge.parameters)
    parameters: dict[str, Any] = {} if silent else {"temperature": judge.temperature}
    given = {"max_tokens": limit, "parameters": judge.parameters, "headers": judge.answer_headers}
    return parameters | {name: value for name, value in given.items() if value}


def _settings(compilation: Compilation, judge: Judge, test_set: str) -> dict[str, Any]:
    digests = compilation.digests
    template = compilation.recipe.prompts.get(prompt_key(judge.prompt))
    return {
        "version": VERSION,
        "questions": digests.get(test_set_key(test_set), ""),
        "model": digests.get(str(judge.model), str(judge.model)),
        "prompt": [judge.kind, judge.kind_plugin.VERSION, None if template is None else fingerprint(template)],
        "reply": judge.reply,
        "rationale": judge.keep_rationale,
        "parameters": msgspec.to_builtins(judge_parameters(judge)),
    }
