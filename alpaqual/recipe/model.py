"""The recipe as structs: the single definition behind parser, JSON Schema and reference page."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from alpaqual.recipe.graders import Grader
from alpaqual.recipe.training import Training
from alpaqual.recipe.types import Count, Limit, Name, Percent, Positive, Rate, StrictStruct, Text


class Fields(StrictStruct, frozen=True, kw_only=True):
    """Which columns of the source make up a row."""

    instruction: Annotated[str | None, Meta(description="Column of the instruction.")] = None
    input: Annotated[str | None, Meta(description="Column of the input; optional.")] = None
    response: Annotated[str | None, Meta(description="Column of the response.")] = None
    messages: Annotated[
        str | None,
        Meta(
            description="Column of a conversation: the turns up to the last user turn are the instruction, "
            "the last assistant turn is the response."
        ),
    ] = None


class Source(StrictStruct, frozen=True, kw_only=True):
    """A file, or a glob of files, to read rows from."""

    path: Annotated[
        str,
        Meta(
            min_length=1,
            description="json, jsonl, csv or parquet, also .gz and .zst (text formats); a glob; "
            "or hf://datasets/… . Relative to the recipe.",
        ),
    ]
    name: Annotated[Name | None, Meta(description="Name of the source in tables and reports.")] = None
    format: Annotated[
        Literal["json", "jsonl", "csv", "parquet"] | None,
        Meta(description="Format of the file; by default from its name."),
    ] = None
    fields: Annotated[
        Fields | Literal["alpaca", "dolly", "gpt4llm", "sharegpt", "messages"] | None,
        Meta(description="Columns that make up a row, or the name of a known layout; detected by default."),
    ] = None
    max_quarantined: Annotated[Limit, Meta(description="Limit of unreadable rows: more fail the run, fewer warn.")] = (
        "1%"
    )


class Bounds(StrictStruct, frozen=True, kw_only=True):
    """From `min` to `max`, both inclusive."""

    min: Annotated[float | Percent | None, Meta(description="At least this.")] = None
    max: Annotated[float | Percent | None, Meta(description="At most this.")] = None


class Length(StrictStruct, frozen=True, kw_only=True):
    """A length in characters."""

    min: Annotated[Count | None, Meta(description="At least this many characters.")] = None
    max: Annotated[Count | None, Meta(description="At most this many characters.")] = None


class Range(StrictStruct, frozen=True, kw_only=True):
    """A range of numbers, both ends included."""

    min: Annotated[float | None, Meta(description="Lowest number allowed.")] = None
    max: Annotated[float | None, Meta(description="Highest number allowed.")] = None


Scalar = str | int | float | bool
Scalars = Annotated[list[Scalar], Meta(min_length=1)]
RowColumns = Annotated[list[Literal["instruction", "input", "response"]], Meta(min_length=1)]


class Duplicates(StrictStruct, frozen=True, kw_only=True):
    """What counts as the same row again."""

    columns: Annotated[RowColumns, Meta(description="Compared columns.")] = field(
        default_factory=lambda: ["instruction", "input", "response"]
    )
    normalised: Annotated[
        bool,
        Meta(description="Compare letters and digits alone, in lower case: spacing and punctuation do not count."),
    ] = False


class Check(StrictStruct, frozen=True, kw_only=True):
    """One check, named as pandera names it."""

    not_nullable: Annotated[bool | None, Meta(description="The value is there.")] = None
    unique: Annotated[
        bool | None, Meta(description="No other row has the same value; all rows that share one fail.")
    ] = None
    str_length: Annotated[Length | None, Meta(description="Length of the text.")] = None
    str_matches: Annotated[
        str | None, Meta(description="The text matches this regular expression (RE2) from its start.")
    ] = None
    str_contains: Annotated[
        str | None, Meta(description="The text matches this regular expression (RE2) somewhere.")
    ] = None
    not_matches: Annotated[str | None, Meta(description="The text matches this regular expression (RE2) nowhere.")] = (
        None
    )
    str_startswith: Annotated[str | None, Meta(description="The text starts so.")] = None
    str_endswith: Annotated[str | None, Meta(description="The text ends so.")] = None
    in_range: Annotated[Range | None, Meta(description="The number is in the range.")] = None
    equal_to: Annotated[Scalar | None, Meta(description="The value is this.")] = None
    not_equal_to: Annotated[Scalar | None, Meta(description="The value is not this.")] = None
    greater_than: Annotated[float | None, Meta(description="The number is greater.")] = None
    greater_than_or_equal_to: Annotated[float | None, Meta(description="The number is this or greater.")] = None
    less_than: Annotated[float | None, Meta(description="The number is less.")] = None
    less_than_or_equal_to: Annotated[float | None, Meta(description="The number is this or less.")] = None
    isin: Annotated[Scalars | None, Meta(description="The value is one of these.")] = None
    notin: Annotated[Scalars | None, Meta(description="The value is none of these.")] = None
    no_duplicates: Annotated[
        Duplicates | bool | None, Meta(description="The row is not there before; every copy but one fails.")
    ] = None
    no_conflicts: Annotated[
        bool | None,
        Meta(description="Rows with the same instruction and input have the same response; all that do not fail."),
    ] = None


class Rule(StrictStruct, frozen=True, kw_only=True):
    """A check on rows; limits say how many failing rows warn and how many fail."""

    id: Annotated[Name, Meta(description="Name of the rule in tables and reports.")]
    description: Annotated[str, Meta(description="Why: one sentence for the reader of the report.")] = ""
    column: Annotated[
        Text | None,
        Meta(description="Checked column: instruction, input, response, or one of the source's own."),
    ] = None
    check: Annotated[
        Check | Literal["not_nullable", "unique", "no_duplicates", "no_conflicts"] | None,
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
    quotas: Annotated[dict[str, Quota], Meta(description="Category -> quota, applied in the order written.")] = field(
        default_factory=dict
    )
    from_: Annotated[Name | None, Meta(description="Select from this dataset's rows instead of all rows.")] = field(
        default=None, name="from"
    )
    sample: Annotated[Positive | Like | None, Meta(description="Draw this many rows at random.")] = None
    seed: Annotated[int, Meta(description="Seed for samples and ties.")] = 0
    strict: Annotated[bool, Meta(description="A shortfall of a quota or sample fails the run.")] = True


class Expectation(StrictStruct, frozen=True, kw_only=True):
    """Bounds on a number of the run, checked at its end."""

    dataset: Annotated[Name | None, Meta(description="Dataset to check: rows, keep_rate, share.")] = None
    category: Annotated[str | None, Meta(description="Category to check, in the dataset or in the sources.")] = None
    grader: Annotated[Name | None, Meta(description="Grader to check: scored, unscored.")] = None
    rule: Annotated[Name | None, Meta(description="Rule to check: failing_rows.")] = None
    rows: Annotated[Bounds | None, Meta(description="Number of rows of the dataset, category or sources.")] = None
    keep_rate: Annotated[Bounds | None, Meta(description="Share of rows kept, after the rules removed theirs.")] = None
    share: Annotated[Bounds | None, Meta(description="The category's share of the dataset's rows.")] = None
    scored: Annotated[Bounds | None, Meta(description="Rows with a score: a count or a percentage.")] = None
    unscored: Annotated[Bounds | None, Meta(description="Rows without a score: a count or a percentage.")] = None
    failing_rows: Annotated[Bounds | None, Meta(description="Rows that fail the rule: a count or a percentage.")] = None
    quarantined: Annotated[Bounds | None, Meta(description="Rows of the sources that could not be read.")] = None
    level: Annotated[
        Literal["fail", "warn"], Meta(description="Whether an unmet expectation fails the run or warns.")
    ] = "fail"


class Engine(StrictStruct, frozen=True, kw_only=True):
    """Limits of this machine. They change the speed of a run, not its results."""

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
        Meta(description="Number of rows near the threshold that the HTML report quotes."),
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
    datasets: Annotated[dict[Name, Dataset], Meta(min_length=1, description="Datasets to select.")]
    expect: Annotated[list[Expectation], Meta(description="Conditions on the results of the run.")] = field(
        default_factory=list
    )
    training: Annotated[Training | None, Meta(description="Train a model on datasets of this recipe.")] = None
    evaluation: Annotated[
        dict[str, Any] | None,
        Meta(description="Not implemented yet; the run warns."),
    ] = None
    engine: Annotated[Engine, Meta(description="Limits of this machine.")] = field(default_factory=Engine)
    report: Annotated[ReportSettings, Meta(description="What the reports show.")] = field(
        default_factory=ReportSettings
    )
