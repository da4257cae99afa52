"""`evaluation` of a recipe: test sets, answers, judges, and the pairs of models that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.recipe.yaml_nodes import Path
from alpaqual.registry import find, names
from alpaqual.types import Name, Positive, StrictStruct, Text

TEMPLATE = "template"
"""The kind of judge whose prompt is a file."""


class QuestionFields(StrictStruct, frozen=True, kw_only=True):
    """Which columns of a test set's file make up a question."""

    instruction: Annotated[
        Text | None, Meta(description="Column of the instruction; `a.0.b` reads inside a value.")
    ] = None
    input: Annotated[Text | None, Meta(description="Column of the input.")] = None
    messages: Annotated[
        Text | None, Meta(description="Column of a conversation's turns, up to the answer that is asked for.")
    ] = None
    id: Annotated[Text | None, Meta(description="Column of the id; left out, the number of the line.")] = None
    category: Annotated[Text | None, Meta(description="Column of the category.")] = None
    skill: Annotated[Text | None, Meta(description="Column of the skill.")] = None
    reference: Annotated[
        Text | None, Meta(description="Column of a reference answer, which judges of coding and maths see.")
    ] = None


class TestSet(StrictStruct, frozen=True, kw_only=True):
    """A file of questions."""

    # pytest takes a class of this name for tests.
    __test__ = False

    name: Annotated[Name, Meta(description="Name of the test set in tables and reports.")]
    path: Annotated[
        Text | None,
        Meta(
            description="json, jsonl, csv, tsv or parquet, relative to the recipe; left out, the test set of the catalog with this name."
        ),
    ] = None
    fields: Annotated[QuestionFields | None, Meta(description="Columns of a question; detected where left out.")] = None
    sample: Annotated[
        Positive | None,
        Meta(description="Ask this many questions: the same ones in each run, spread over the categories."),
    ] = None


class Answers(StrictStruct, frozen=True, kw_only=True):
    """How models answer the questions."""

    prompt: Annotated[
        Literal["training", "alpaca", "chat"],
        Meta(
            description="training: the prompt that a model was trained with; alpaca: the prompt of the Alpaca training script; chat: the "
            "model's chat template. Models that are not trained here take `chat` for `training`."
        ),
    ] = "training"
    max_new_tokens: Annotated[Positive, Meta(description="Maximum length of an answer, in tokens.")] = 1024
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)], Meta(description="0 is greedy; above it, answers are sampled.")
    ] = 0.0
    batch: Annotated[Positive, Meta(description="Number of answers that a local model computes at once.")] = 16
    processes: Annotated[
        Positive, Meta(description="Number of processes of this machine that answer at once, each with the model.")
    ] = 1
    engine: Annotated[
        Literal["transformers", "vllm"],
        Meta(description="What runs local models; vllm needs `pip install vllm` and starts its server here."),
    ] = "transformers"
    price_per_gpu_hour: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Price of a GPU (or process) per hour, in US dollars, for local models."),
    ] = None


class AnsweringModel(ModelSettings, frozen=True, kw_only=True):
    """A model to evaluate that is not trained by this recipe; or answers that are known."""

    answers: Annotated[
        Text | None,
        Meta(
            description="A file of answers in place of a model, json or jsonl: `test_set`, `id` (or `instruction`), `answer`; relative to the recipe."
        ),
    ] = None
    prompt: Annotated[
        Literal["alpaca", "chat"] | None, Meta(description="The prompt of this model; left out, that of `answers`.")
    ] = None


class Judge(ModelSettings, frozen=True, kw_only=True):
    """A model that compares two answers, in both orders."""

    prompt: Annotated[
        Text,
        Meta(
            description="`vicuna`: two scores from 1 to 10; `mt_bench`: [[A]], [[B]] or [[C]]; `single`: each answer is rated by itself; "
            "another installed kind; or a file with a prompt, relative to the recipe."
        ),
    ] = "vicuna"
    reply: Annotated[
        Literal["scores", "letter"] | None,
        Meta(
            description="Of a prompt in a file: `scores`, two numbers on the first line; `letter`, [[A]], [[B]] or [[C]]."
        ),
    ] = None
    keep_rationale: Annotated[bool, Meta(description="Ask for the explanation behind the verdict and keep it.")] = False
    pilot: Annotated[
        Annotated[int, Meta(ge=0)],
        Meta(description="Number of items judged first; if no reply can be read, the run stops there."),
    ] = 10

    @property
    def kind(self) -> str:
        """The plug-in of the judge: that of its prompt, or the one for prompts in files."""
        own = self.prompt in names("judges") and self.prompt != TEMPLATE
        return self.prompt if own else TEMPLATE

    @property
    def kind_plugin(self) -> Any:
        """The plug-in class of the kind (`contracts.Judge`). Raises MachineError where it is not installed."""
        return find("judges", self.kind)


class Evaluation(StrictStruct, frozen=True, kw_only=True):
    """Compare models by judges: test sets, answers, verdicts; or count verdicts that were recorded."""

    test_sets: Annotated[
        list[Name | TestSet],
        Meta(description="Test sets of the catalog (vicuna, koala, wizardlm, self_instruct), or files."),
    ] = field(default_factory=list)
    models: Annotated[
        dict[Name, AnsweringModel],
        Meta(
            description="Models to evaluate besides the trained ones, which have the names of their datasets: a checkpoint or adapter "
            "(`model: local/PATH`), a model of a provider, or a file of answers."
        ),
    ] = field(default_factory=dict)
    answers: Annotated[Answers, Meta(description="How models answer the questions.")] = field(default_factory=Answers)
    judge: Annotated[Judge | None, Meta(description="The judge; results call it `judge`.")] = None
    judges: Annotated[dict[Name, Judge], Meta(description="Several judges, by name, in place of `judge`.")] = field(
        default_factory=dict
    )
    pairs: Annotated[
        list[Annotated[list[Text], Meta(min_length=2, max_length=2)]],
        Meta(
            description="Pairs of models: trained datasets or `models`. A win is one of the first. Of recorded replies, left out: all pairs that they have."
        ),
    ] = field(default_factory=list)
    rule: Annotated[
        Literal["paper", "fastchat", "mean_score"],
        Meta(
            description="How both orders become a verdict. paper: two wins, or a win and a tie, win; fastchat: both orders must agree; "
            "mean_score: the higher mean score wins. Reports show the others beside it."
        ),
    ] = "paper"
    replies: Annotated[
        Text | None,
        Meta(
            description="A file of recorded judge replies in place of test sets and judges, JSON Lines: `pair`, `test_set`, `id`, `first`, "
            "`second`, `reply`, and `category` where there is one; `alpaqual import-judgements` writes such files."
        ),
    ] = None
    prompt: Annotated[
        Text | None,
        Meta(
            description="How recorded replies are read: `vicuna`, `mt_bench`, `single`; left out, found from the replies."
        ),
    ] = None
    orders: Annotated[
        Literal["both", "one"],
        Meta(
            description="Of recorded replies: both orders of a pair, or, for logs that have only one, the verdict of that one."
        ),
    ] = "both"
    capability: Annotated[
        list[Text],
        Meta(
            description="Reference models: the scores of each other model are given as a percentage of theirs, overall and per skill."
        ),
    ] = field(default_factory=list)

    @property
    def named_judges(self) -> Mapping[str, Judge]:
        """Every judge by its name in the results."""
        return self.judges or ({"judge": self.judge} if self.judge is not None else {})

    @property
    def named_test_sets(self) -> Mapping[str, TestSet]:
        """Every test set by its name."""
        found = (TestSet(name=each) if isinstance(each, str) else each for each in self.test_sets)
        return {each.name: each for each in found}

    def judge_place(self, name: str) -> Path:
        """Where the recipe has a judge."""
        return ("evaluation", "judges", name) if self.judges else ("evaluation", "judge")

    def runs_here(self, model: str) -> bool:
        """Whether this machine computes a model's answers: one that is trained, or a local one."""
        own = self.models.get(model)
        return own is None or (own.live and own.plugin.LOCAL)

    @property
    def prompt_files(self) -> dict[Path, str]:
        """The judges' prompts in files, by their place in the recipe."""
        found: dict[Path, str] = {}
        for name, judge in self.named_judges.items():
            place = self.judge_place(name)
            if judge.kind == TEMPLATE and is_file_name(judge.prompt):
                found[(*place, "prompt")] = judge.prompt
        return found


def prompt_key(file: str) -> str:
    """The key of a judge's prompt file among the prompts of a recipe."""
    return f"judge {file}"


def is_file_name(prompt: str) -> bool:
    """Whether a prompt is the path of a file: it has an ending or a folder."""
    return "." in prompt or "/" in prompt
