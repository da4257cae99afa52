"""The recipe as structs: the single definition behind parser, JSON Schema and reference page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, defstruct, field

from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.expectations import Expectation
from alpaqual.recipe.graders import Grader
from alpaqual.recipe.training import Training
from alpaqual.types import (
    Character,
    Count,
    Limit,
    Name,
    Positive,
    Quote,
    Rate,
    RowColumns,
    Scalars,
    StrictStruct,
    Text,
)


class Fields(StrictStruct, frozen=True, kw_only=True):
    """Which columns of the source make up a row."""

    instruction: Annotated[str | None, Meta(description="Column of the instruction.")] = None
    input: Annotated[str | None, Meta(description="Column of the input; optional.")] = None
    response: Annotated[str | None, Meta(description="Column of the response.")] = None
    messages: Annotated[
        str | None,
        Meta(
            description="Column of a conversation's turns: the last assistant turn is the response, the turns before it are "
            "the instruction."
        ),
    ] = None
    completion: Annotated[
        str | None, Meta(description="Column of the turns that follow those of `messages`; a text is one turn.")
    ] = None
    history: Annotated[
        str | None,
        Meta(description="Column of [question, answer] pairs before the instruction: the row is a conversation."),
    ] = None
    system: Annotated[str | None, Meta(description="Column of a system turn's text: the row is a conversation.")] = None
    tools: Annotated[
        str | None, Meta(description="Column of the tools that a conversation may call, a list or its JSON text.")
    ] = None
    id: Annotated[
        str | None,
        Meta(
            description="Column of the data's own id, which datasets have as `id`; by default `id`, where there is one. Without "
            "other keys beside it, the columns of the row are detected."
        ),
    ] = None


class Source(StrictStruct, frozen=True, kw_only=True):
    """A file, or a glob of files, to read rows from."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="json, jsonl, csv, tsv, parquet or arrow; all but parquet also as .gz, .zst, .bz2, .xz, or .zip with "
            "one file in it; a glob; a folder that datasets' `save_to_disk` wrote; or hf://datasets/… . Relative to the recipe.",
        ),
    ]
    name: Annotated[Name | None, Meta(description="Name of the source in tables and reports.")] = None
    format: Annotated[
        Name | None,
        Meta(description="Format of the file; by default from its name."),
    ] = None
    fields: Annotated[
        Fields | Literal["alpaca", "dolly", "gpt4llm", "sharegpt", "messages", "history", "prompt_completion"] | None,
        Meta(description="Columns that make up a row, or the name of a known layout; detected by default."),
    ] = None
    roles: Annotated[
        dict[Text, Literal["system", "developer", "user", "assistant", "tool", "function_call"]],
        Meta(description="What the names of roles in conversations mean, besides the known ones: `{bing: assistant}`."),
    ] = field(default_factory=dict)
    other_parts: Annotated[
        Literal["quarantine", "placeholder"],
        Meta(
            description="Conversations with parts that are no text, such as images, go to quarantine, or the parts become "
            "`[image_url]`."
        ),
    ] = "quarantine"
    delimiter: Annotated[
        Character | None,
        Meta(description="csv, tsv: the character between two values. Default: a comma, or a tab for tsv."),
    ] = None
    quote: Annotated[
        Quote | None,
        Meta(description='csv, tsv: the character around values; empty for none. Default: `"`.'),
    ] = None
    encoding: Annotated[Text | None, Meta(description="csv, tsv: the encoding of the text. Default: utf-8.")] = None
    header: Annotated[
        bool | None,
        Meta(
            description="csv, tsv: the first line has the names of the columns (the default); else they are column0, column1, …"
        ),
    ] = None
    null: Annotated[
        list[str] | None, Meta(description='csv, tsv: texts that mean null. Default: the empty text, `[""]`.')
    ] = None
    max_row_bytes: Annotated[
        Positive | None,
        Meta(description="All but parquet: a row of more bytes is put in quarantine. Default: 16 MiB."),
    ] = None
    split: Annotated[
        Text | None, Meta(description="The split to read of a folder in which the datasets library saved several.")
    ] = None
    partitions: Annotated[
        bool, Meta(description="Folders named `column=value` give each of their rows that column.")
    ] = False
    keep: Annotated[
        list[Text] | Literal["all"],
        Meta(
            description="The data's columns that datasets carry along with their JSON values, or `all`. One with the name of a "
            "dataset's own key (id, row_id, instruction, input, output, messages, tools) is there as `source.<name>`."
        ),
    ] = field(default_factory=list)
    max_quarantined: Annotated[Limit, Meta(description="Limit of unreadable rows: more fail the run, fewer warn.")] = (
        "1%"
    )


if TYPE_CHECKING:

    class Check(StrictStruct, frozen=True, kw_only=True):
        """One check, named as pandera names it. Its fields are the plug-ins of `checks`."""

    CheckName = str
else:
    Check = defstruct(
        "Check",
        [
            (name, Annotated[plugin.ARGUMENT | None, Meta(description=plugin.DESCRIPTION)], None)
            for name, plugin in check_plugins().items()
        ],
        bases=(StrictStruct,),
        module=__name__,
        namespace={"__doc__": "One check, named as pandera names it."},
        frozen=True,
        kw_only=True,
    )
    CheckName = Literal[tuple(name for name, plugin in check_plugins().items() if plugin.SWITCH)]


Role = Literal["system", "developer", "user", "assistant", "tool"]


class Turns(StrictStruct, frozen=True, kw_only=True):
    """Turns of a conversation: those of a role, or one of them."""

    role: Annotated[Role | None, Meta(description="Turns of this role; left out, of every role.")] = None
    at: Annotated[
        Literal["first", "last"] | Positive | None,
        Meta(
            description="One of these turns: the first, the last, or the one with this number; left out, each of them."
        ),
    ] = None

    def __str__(self) -> str:
        words: list[str] = [self.at] if isinstance(self.at, str) else []
        words += ["all"] if self.at is None and self.role is None else []
        words += [self.role] if self.role else []
        number = [str(self.at)] if isinstance(self.at, int) else []
        return " ".join([*words, "turns" if self.at is None else "turn", *number])


class Rule(StrictStruct, frozen=True, kw_only=True):
    """A check on rows; limits say how many failing rows warn and how many fail."""

    id: Annotated[Name, Meta(description="Name of the rule in tables and reports.")]
    description: Annotated[str, Meta(description="Why: one sentence for the reader of the report.")] = ""
    column: Annotated[
        Text | None,
        Meta(
            description="Checked column: instruction, input, response, messages, tools, or any column of the data; `row.id` and others are alpaqual's own values."
        ),
    ] = None
    turns: Annotated[
        Turns | Literal["all", "system", "developer", "user", "assistant", "tool"] | None,
        Meta(
            description="Check the text of turns in place of a column: `all`, a role, or `{role: assistant, at: last}`. A triple "
            "is a user turn and an assistant turn."
        ),
    ] = None
    check: Annotated[
        Check | CheckName | None,
        Meta(description="One check; nulls pass all but not_nullable."),
    ] = None
    where: Annotated[
        Text | None,
        Meta(
            description="A boolean SQL expression that is true for a good row.",
            examples=["length(response) > 9"],
        ),
    ] = None
    warn: Annotated[
        Limit | None,
        Meta(description="More failing rows than this warn: a count or a percentage of all rows."),
    ] = None
    fail: Annotated[
        Limit | None,
        Meta(description="More failing rows than this fail. A rule that names neither limit fails at the first row."),
    ] = None
    drop: Annotated[bool, Meta(description="Failing rows leave the data.")] = False

    @property
    def checked_turns(self) -> Turns | None:
        """The turns that are checked; None for a rule on a column or on whole rows."""
        if self.turns is None or isinstance(self.turns, Turns):
            return self.turns
        return Turns() if self.turns == "all" else Turns(role=self.turns)

    @property
    def checked(self) -> str:
        """What is checked, in words: a column or turns; empty for whole rows."""
        return self.column or ("" if self.turns is None else str(self.checked_turns))


class Category(StrictStruct, frozen=True, kw_only=True):
    """A named set of rows; a row can be in several categories."""

    category: Annotated[Name | None, Meta(description="Name of the category.")] = None
    description: Annotated[str, Meta(description="What the category contains.")] = ""
    keywords: Annotated[
        Annotated[list[Text], Meta(min_length=1, max_length=62)] | None,
        Meta(description="Rows with one of these in instruction, input or response; case-sensitive."),
    ] = None
    pattern: Annotated[Text | None, Meta(description="Rows that match this regular expression (RE2) somewhere.")] = None
    over: Annotated[
        RowColumns | None,
        Meta(description="Search for keywords or pattern in these columns only."),
    ] = None
    column: Annotated[
        Text | None,
        Meta(description="Column of the source; without `values`, each of its values is a category."),
    ] = None
    values: Annotated[Scalars | None, Meta(description="Rows whose column has one of these values.")] = None
    where: Annotated[Text | None, Meta(description="Rows for which this boolean SQL expression is true.")] = None


class Quota(StrictStruct, frozen=True, kw_only=True):
    """How many rows of a category a dataset must or may keep."""

    min_keep_rate: Annotated[
        Rate | Literal["overall"] | None,
        Meta(
            description="Keep at least this share of the category's rows; `overall`: the share of all rows that the threshold keeps."
        ),
    ] = None
    min_rows: Annotated[Count | None, Meta(description="Keep at least this many rows of the category.")] = None
    min_share: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(description="The category makes up at least this share of the dataset."),
    ] = None
    max_rows: Annotated[Count | None, Meta(description="Keep at most this many rows of the category.")] = None
    max_share: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(description="The category makes up at most this share of the dataset."),
    ] = None
    floor: Annotated[
        float | dict[str, float] | None,
        Meta(description="Lowest score of a row that the quota may add: a number, or one per grader."),
    ] = None
    strict: Annotated[bool | None, Meta(description="A shortfall fails the run; by default the dataset's setting.")] = (
        None
    )


class Like(StrictStruct, frozen=True, kw_only=True):
    """As many rows as another dataset."""

    like: Annotated[Name, Meta(description="Draw as many rows as this dataset has, for a size-matched random control.")]


class Dataset(StrictStruct, frozen=True, kw_only=True):
    """A selection of rows to train on."""

    threshold: Annotated[
        dict[str, float],
        Meta(description="Grader -> minimum score (equation 1 of the paper)."),
    ] = field(default_factory=dict)
    quotas: Annotated[
        dict[str, Quota], Meta(description="Category -> quota, met in the order written, and so are the limits of one.")
    ] = field(default_factory=dict)
    from_: Annotated[Name | None, Meta(description="Select from this dataset's rows instead of all rows.")] = field(
        default=None, name="from"
    )
    sample: Annotated[Positive | Like | None, Meta(description="Draw this many rows at random.")] = None
    seed: Annotated[int, Meta(description="Seed for samples and ties.")] = 0
    strict: Annotated[
        bool, Meta(description="A shortfall of a quota or sample, or a split without a row, fails the run.")
    ] = True
    format: Annotated[
        Literal["alpaca", "messages", "source"] | None,
        Meta(
            description="What a row of the file holds. alpaca: instruction, input, output; messages: messages, tools; source: the "
            "record of the source as it was read. By default alpaca for three texts, messages for conversations."
        ),
    ] = None
    file: Annotated[
        Literal["jsonl", "parquet", "datasets"],
        Meta(description="Kind of file; datasets: a folder that `load_from_disk` of the datasets library opens."),
    ] = "jsonl"
    split: Annotated[
        dict[Name, float | str],
        Meta(
            description="Split the rows: name -> share, which add up to 1; `by`: a column or a category whose values keep these "
            "shares; `group`: a column whose values stay whole (default: rows of one prompt); `seed` (default 0).",
            examples=[{"train": 0.9, "test": 0.1, "by": "category"}],
            min_length=1,
        ),
    ] = field(default_factory=dict)
    push_to_hub: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*(?!\n)$", max_length=96)]
        | None,
        Meta(
            description="Dataset repository of the Hugging Face Hub, owner/name. The run writes a dataset card; `alpaqual push` pushes."
        ),
    ] = None


class Engine(StrictStruct, frozen=True, kw_only=True):
    """The SQL engine and the limits of this machine. They change the speed of a run, not its results."""

    kind: Annotated[Name, Meta(description="The engine that runs the queries.")] = "duckdb"
    memory: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)? ?(MB|GB|MiB|GiB)(?!\n)$")] | None,
        Meta(description="Memory limit of queries; beyond it they spill to disk.", examples=["4GB"]),
    ] = None
    threads: Annotated[Positive | None, Meta(description="Number of threads for queries.")] = None


class ReportSettings(StrictStruct, frozen=True, kw_only=True):
    """What the reports show."""

    examples: Annotated[
        Annotated[int, Meta(ge=0, le=5)],
        Meta(
            description="Failing rows quoted per rule in the Markdown report; think of public pull requests before raising it."
        ),
    ] = 0
    samples: Annotated[
        Annotated[int, Meta(ge=0, le=1000)],
        Meta(
            description="Number of rows near the threshold that the HTML report quotes; 0 leaves judged items out as well."
        ),
    ] = 100


class RecipeText(StrictStruct, frozen=True, kw_only=True):
    """An alpaqual recipe: which rows to train on, and which conditions the run must meet."""

    version: Annotated[Literal[1], Meta(description="Version of the recipe format.")]
    name: Annotated[Name, Meta(description="Name of the recipe and of the run folder, runs/<name>.")]
    title: Annotated[str, Meta(description="Title of the report.")] = ""
    sources: Annotated[list[Source], Meta(min_length=1, description="Sources of rows.")]
    rules: Annotated[list[Text | Rule], Meta(description="Names of files in rules/, or rules written inline.")] = field(
        default_factory=list
    )
    categories: Annotated[
        list[Text | Category], Meta(description="Names of files in rules/categories/, or categories written inline.")
    ] = field(default_factory=list)
    graders: Annotated[dict[Name, Grader], Meta(description="Graders that score the rows.")] = field(
        default_factory=dict
    )
    datasets: Annotated[
        dict[Name, Dataset],
        Meta(description="Datasets to select; only a recipe that counts recorded judge replies may have none."),
    ] = field(default_factory=dict)
    expect: Annotated[list[Expectation], Meta(description="Conditions on the results of the run.")] = field(
        default_factory=list
    )
    training: Annotated[Training | None, Meta(description="Train a model on datasets of this recipe.")] = None
    evaluation: Annotated[Evaluation | None, Meta(description="Compare models by judges.")] = None
    engine: Annotated[Engine, Meta(description="The SQL engine and the limits of this machine.")] = field(
        default_factory=Engine
    )
    report: Annotated[ReportSettings, Meta(description="What the reports show.")] = field(
        default_factory=ReportSettings
    )
