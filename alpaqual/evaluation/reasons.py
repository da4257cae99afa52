"""What a run warns of in its evaluation, one plain sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from alpaqual.evaluation.values import TrainedDataset
from alpaqual.results.evaluation import EvaluationResult, PairResult


def evaluation_reasons(
    evaluation: EvaluationResult, datasets: Mapping[str, TrainedDataset], references: Sequence[str] = ()
) -> list[str]:
    """Return the warnings of an evaluation: flagged judges, missing controls and reference scores, unjudged items."""
    return [
        *_judges(evaluation),
        *_controls(evaluation, datasets),
        *_references(evaluation, references),
        *_unjudged(evaluation),
    ]


def _judges(evaluation: EvaluationResult) -> Iterator[str]:
    for name, judge in evaluation.judges.items():
        for flag in judge.flags:
            yield f"judge '{name}': {flag}"


def _controls(evaluation: EvaluationResult, datasets: Mapping[str, TrainedDataset]) -> Iterator[str]:
    own = [pair for pair in evaluation.overall if pair.rule == evaluation.rule]
    judged = {frozenset((pair.a, pair.b)) for pair in own}
    opponents: dict[str, list[str]] = {}
    for pair in own:
        for name, other in ((pair.a, pair.b), (pair.b, pair.a)):
            if name in datasets and datasets[name].needs_control and other not in opponents.get(name, []):
                opponents.setdefault(name, []).append(other)
    for name, others in opponents.items():
        control = datasets[name].control
        beside = control is not None and (control in others or any({control, other} in judged for other in others))
        if not beside:
            yield f"{name} is judged without a random dataset of its size, {_advice(name, control)}"


def _references(evaluation: EvaluationResult, references: Sequence[str]) -> Iterator[str]:
    for name in references if evaluation.pairs else ():
        if not any(name in beside for beside in evaluation.capability.values()):
            yield f"no capability beside '{name}': no judge has scores of it and of another model for the same item"


def _advice(name: str, control: str | None) -> str:
    effect = "so that the choice of rows and their number cannot be separated"
    if control is None:
        return f"{effect}: add a dataset with `sample: {{like: {name}}}`, train on it, and judge the pair"
    return f"{effect}: judge the pair {name}, {control} too"


def _unjudged(evaluation: EvaluationResult) -> Iterator[str]:
    for pair in evaluation.pairs:
        if pair.rule == evaluation.rule and pair.unjudged:
            yield f"{pair.a} against {pair.b} on {pair.test_set}, judge '{pair.judge}': {_items(pair)}"


def _items(pair: PairResult) -> str:
    why = ", ".join(f"{reason} ({count:,})" for reason, count in pair.unjudged_reasons.items())
    return f"{pair.unjudged:,} of {pair.n + pair.unjudged:,} items unjudged: {why}"
