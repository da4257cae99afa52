"""Asks a model the questions of a test set: the inference loop with questions as items, and the replies as answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from alpaqual import job_folder
from alpaqual.errors import Problem, RecipeError
from alpaqual.execution.accounts import account_of
from alpaqual.execution.answering_processes import ask_in_processes
from alpaqual.execution.model_grading import rare_garbage_collection, run_async
from alpaqual.execution.models import open_client
from alpaqual.execution.options import Watcher
from alpaqual.execution.outcomes import OutcomeSink
from alpaqual.execution.recorded_judgements import read_lines
from alpaqual.execution.reply_facts import progress_of, reply_facts
from alpaqual.inference.loop import InferenceLoop, Outcome
from alpaqual.plan.answer_requests import answer_request
from alpaqual.plan.answering import AnswerStage, Prompt, answer_parameters
from alpaqual.plan.stage import Stage
from alpaqual.recipe.evaluation import AnsweringModel, Evaluation
from alpaqual.recipe.yaml_nodes import Path as Place
from alpaqual.values import Question, Reply, Request

if TYPE_CHECKING:
    from alpaqual.execution.execution import Execution

_PROVIDERS = {"transformers": "local", "vllm": "vllm"}
"""The plug-in that runs local models, by the recipe's engine."""
_CUT = ("length", "max_tokens")
"""Finish reasons of an answer that reached the limit of tokens."""


@dataclass(frozen=True)
class Answer:
    """A model's answer to one question; None and the reason where there is none."""

    id: str
    text: str | None
    reason: str = ""
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def cut(self) -> bool:
        """Whether it ended at the limit of tokens."""
        return self.finish_reason in _CUT


COLUMNS = {
    "id": "VARCHAR",
    "answer": "VARCHAR",
    "reason": "VARCHAR",
    "finish_reason": "VARCHAR",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
}
"""Columns of a table of answers, with their SQL types."""


class AnswerTask:
    """Asks one question; the whole reply is the answer."""

    def __init__(self, model: str, prompt: Prompt, parameters: Mapping[str, Any], *, trained: bool) -> None:
        self.model = model
        self.prompt = prompt
        self.parameters = parameters
        self.trained = trained

    def id(self, item: Question) -> str:
        """The id of the question."""
        return item.id

    def request(self, item: Question) -> Request:
        """The request for the answer."""
        return answer_request(self.model, item, self.prompt, self.parameters, trained=self.trained)

    def read(self, reply: Reply) -> Reply:
        """The reply."""
        return reply

    def follow_up(self, request: Request, result: Reply, attempt: int) -> Request | None:
        """None: every reply is an answer."""
        return None


def answer_of(question: Question, outcome: Outcome[Reply]) -> Answer:
    """The answer of an outcome; without a reply, the fault's reason."""
    reply = outcome.result
    if reply is None:
        return Answer(question.id, None, outcome.fault.reason if outcome.fault else "no reply")
    return Answer(question.id, reply.text, "", reply.finish_reason or "", reply.input_tokens, reply.output_tokens)


@dataclass(frozen=True)
class LocalModel:
    """A model that this recipe trained: its folder and the digest of its files."""

    path: Path
    digest: str


def ask(
    execution: Execution, stage: AnswerStage, questions: Sequence[Question], trained: LocalModel | None
) -> tuple[list[Answer], dict[str, Any]]:
    """The answers of the stage's model, in the order of the questions, with calls, tokens and cost.

    Raises StageError where asking had to stop, MachineError, RecipeError, StoreError.
    """
    evaluation = execution.plan.recipe.text.evaluation
    assert evaluation is not None
    settings, place = settings_of(evaluation, stage, trained)
    model = request_id(settings, trained, execution.plan.digests)
    own = evaluation.models.get(stage.model)
    task = AnswerTask(model, stage.prompt, answer_parameters(evaluation, own), trained=trained is not None)
    account = account_of(execution, settings, stage.model, [model, stage.prompt, task.parameters])

    async def work() -> tuple[list[Answer], dict[str, Any]]:
        spending = account.spending if account is not None else None
        client = open_client(settings, execution.plan.recipe, place, execution.options, execution.ledger, spending)
        sink = OutcomeSink(task)
        loop = InferenceLoop(f"answers of {stage.model}", task, client, len(questions), items="questions")
        watch = watching(loop, stage, execution.options.watch)
        try:
            if account is not None:
                same = [each for each in execution.plan.of(AnswerStage) if each.model == stage.model]
                account.count_known(execution, same, stage, loop, map(task.request, questions))
            if processes_of(evaluation, stage.model) > 1:
                requests = [task.request(question) for question in questions]
                await ask_in_processes(
                    client, execution.ledger, requests, execution.store.claims, evaluation.answers.processes
                )
            await loop.process(questions, sink, watch)
            return [answer_of(question, sink.found[question.id]) for question in questions], reply_facts(loop)
        finally:
            await client.model.close()

    with rare_garbage_collection():
        return run_async(work())


def request_id(settings: AnsweringModel, trained: LocalModel | None, digests: Mapping[str, str]) -> str:
    """The model id of requests: what runs a local model and the digest of its files; a provider's name."""
    if trained is not None:
        return f"{settings.provider}/{trained.digest}"
    if not settings.live or not settings.plugin.LOCAL:
        return str(settings.model)
    # The digest of a model's files goes by the name that the recipe has.
    digest = digests.get(f"local/{settings.model_name}") or digests.get(str(settings.model))
    return f"{settings.provider}/{digest}" if digest else str(settings.model)


def processes_of(evaluation: Evaluation, model: str) -> int:
    """The number of processes that answer: those of the recipe for a model that runs here."""
    return (
        evaluation.answers.processes
        if evaluation.runs_here(model) and evaluation.answers.engine == "transformers"
        else 1
    )


def settings_of(evaluation: Evaluation, stage: AnswerStage, trained: LocalModel | None) -> tuple[AnsweringModel, Place]:
    """The settings of a stage's model, and their place in the recipe."""
    answers = evaluation.answers
    if trained is not None:
        found = AnsweringModel(
            model=f"{_PROVIDERS[answers.engine]}/{trained.path.absolute()}", concurrency=answers.batch
        )
        return found, ("evaluation", "answers")
    own = evaluation.models[stage.model]
    if own.live and own.plugin.LOCAL:
        runs = _PROVIDERS[answers.engine] if own.provider == "local" else own.provider
        own = msgspec.structs.replace(own, model=f"{runs}/{own.model_name}", concurrency=answers.batch)
    return own, ("evaluation", "models", stage.model)


def watching(loop: InferenceLoop[Any, Any], stage: Stage, watch: Watcher | None) -> Callable[[], None] | None:
    """What reports the progress of a loop; None where nothing watches."""
    if watch is None:
        return None
    return lambda: watch(progress_of(loop, stage.subject, len(loop.without_reply), stage.kind))


def counts(answers: Sequence[Answer], processes: int = 1) -> dict[str, list[dict[str, Any]]]:
    """The facts of a stage about its answers."""
    given = [answer for answer in answers if answer.text is not None]
    reasons = Counter(answer.reason for answer in answers if answer.text is None)
    return {
        "answers": [
            {
                "items": len(answers),
                "answered": len(given),
                "cut": sum(answer.cut for answer in given),
                "empty": sum(not (answer.text or "").strip() for answer in given),
                "characters": sum(len(answer.text or "") for answer in given),
                "processes": processes,
            }
        ],
        "unanswered": [{"reason": reason, "rows": rows} for reason, rows in sorted(reasons.items())],
    }


def local_model(job: Path, digest_of: Callable[[Path], str]) -> LocalModel:
    """The model in the folder of a training job."""
    from alpaqual.llm.local import model_digest

    path = job / job_folder.MODEL
    return LocalModel(path, model_digest(path, digest_of))


def read_answers(path: Path, name: str, test_set: str, questions: Sequence[Question], place: Problem) -> list[Answer]:
    """The answers of a file of answers to a test set, in the order of its questions.

    A record goes by its `id`, or by its `instruction` where it has none; a question that the file lacks has no answer. Raises
    RecipeError where the file is no list of answers, or answers a question twice in two ways.
    """
    records, problems = _records(path, name), []
    by_id = {question.id: question.id for question in questions}
    by_text = _ids_by_text(questions)
    found: dict[str, str] = {}
    for where, record in records:
        text = record.get("answer", record.get("output")) if isinstance(record, dict) else None
        if text is None and isinstance(record, dict) and {"answer", "output"} & record.keys():
            # A run writes null for a question that got no answer.
            continue
        if not isinstance(text, str):
            problems.append(f"{name}, {where}: a record has `id` or `instruction`, and a text `answer`")
            continue
        if record.get("test_set", test_set) != test_set:
            continue
        asked = by_text.get(_asked(record.get("instruction"), record.get("input")), ())
        # Of several questions with one text, the file has the answers in the order of the questions.
        same = next((each for each in asked if each not in found), asked[-1] if asked else None)
        key = by_id.get(str(record["id"])) if "id" in record else same
        if key is None:
            continue
        if found.setdefault(key, text) != text:
            problems.append(f"{name}, {where}: another answer to the question '{key}' of {test_set}")
    if not problems and not found:
        problems.append(f"{name} has no answer to a question of {test_set}: its ids are those of the test set")
    if problems:
        raise RecipeError([place._replace(message=message) for message in problems[:5]])
    return [
        Answer(question.id, found.get(question.id), "" if question.id in found else "no answer in the file")
        for question in questions
    ]


def _ids_by_text(questions: Sequence[Question]) -> dict[tuple[str, str], list[str]]:
    """The ids of the questions with a text and an input; and, without the input, of those with the text."""
    found: dict[tuple[str, str], list[str]] = {}
    for question in questions:
        for key in dict.fromkeys((_asked(question.instruction, question.input), _asked(question.instruction, ""))):
            found.setdefault(key, []).append(question.id)
    return found


def _asked(instruction: Any, given: Any) -> tuple[str, str]:
    return str(instruction or "").strip(), str(given or "").strip()


def _records(path: Path, name: str) -> list[tuple[str, Any]]:
    """(place, record) of each record of a JSON list or of JSON Lines, compressed or not."""
    lines = list(read_lines(path, name))
    try:
        whole = json.loads("".join(lines))
    except ValueError:
        whole = None
    if isinstance(whole, list):
        return [(f"record {number}", record) for number, record in enumerate(whole, 1)]
    found: list[tuple[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append((f"line {number}", json.loads(line)))
            except ValueError:
                found.append((f"line {number}", None))
    return found
