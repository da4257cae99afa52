"""Frozen values that packages pass to each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from alpaqual.fields import CONVERSATION_FIELDS as CONVERSATION_FIELDS
from alpaqual.fields import MAPPED_FIELDS as MAPPED_FIELDS
from alpaqual.fields import ROW_FIELDS as ROW_FIELDS
from alpaqual.fields import ROW_VALUES as ROW_VALUES
from alpaqual.fields import TURN_VALUES as TURN_VALUES
from alpaqual.read_options import PLAIN as PLAIN
from alpaqual.read_options import ReadOptions as ReadOptions


def distinct(names: Iterable[str], *, prefix: str = "", taken: Iterable[str] = ()) -> dict[str, str]:
    """A name in SQL for each name: with the prefix, and with a number where SQL takes it for another one or for one of `taken`.

    SQL has no empty name.
    """
    found: dict[str, str] = {}
    used = {"", *(each.lower() for each in taken)}
    for given in dict.fromkeys(names):
        unique, again = f"{prefix}{given}", 1
        while unique.lower() in used:
            again += 1
            unique = f"{prefix}{given} ({again})"
        used.add(unique.lower())
        found[given] = unique
    return found


SOURCE_STRIDE = 10**12
"""Row numbers `n` of the source at position k start at k times this; what is left is the row's position in its source."""


class State(StrEnum):
    """The state of a rule, a check or a run; the worst of all states is the verdict.

    Only a run that `--until` stopped is incomplete.
    """

    PASS = "pass"
    WARN = "warn"
    INCOMPLETE = "incomplete"
    FAIL = "fail"
    ERROR = "error"


def worst(states: list[State]) -> State:
    """The worst of `states`; no states pass."""
    return max(states, key=list(State).index, default=State.PASS)


class Fate(StrEnum):
    """The fate of a row in a dataset; every row has exactly one."""

    KEPT = "kept"
    BELOW_THRESHOLD = "below_threshold"
    UNSCORED = "unscored"
    REMOVED_BY_RULE = "removed_by_rule"
    REMOVED_BY_QUOTA = "removed_by_quota"
    NOT_SAMPLED = "not_sampled"


@dataclass(frozen=True)
class Row:
    """One (instruction, input, response) with its `id`; `conversation` is the text of all turns, empty for three texts.

    `values` has what a prompt shows besides: columns of the data and scores of other graders, by the key of their slot.
    """

    id: str
    instruction: str
    input: str
    response: str
    conversation: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


EXPECTATION_TOKENS = 16
"""Longest reply of a server whose tokens give an expectation: a score, perhaps behind a label."""


@dataclass(frozen=True)
class Request:
    """One request to one model; its ledger key is a hash of its content.

    `messages` are (role, text) pairs with the roles system, user and assistant. `parameters` are sent with them:
    `temperature` and `max_tokens`, a JSON `schema` that the reply must fit, `choices` (texts; the reply is the expectation over
    them), `measure: ifd` (the reply has the perplexities of the last message), `parameters` (sent as the recipe has them),
    `headers` (those of the endpoint that change the answer), `prompt` (of models that run here: plain is one text without a chat
    template, trained the template as training applies it, chat the template without thinking; such a reply says why it ended).
    `repeat` counts from 0: the same request sent again, to see whether the reply changes.
    """

    model: str
    messages: tuple[tuple[str, str], ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0


@dataclass(frozen=True)
class CacheTokens:
    """Input tokens that a provider's cache gave (`read`) or took in (`written`, of these `written_1h` for an hour)."""

    read: int = 0
    written: int = 0
    written_1h: int = 0

    def __add__(self, other: CacheTokens) -> CacheTokens:
        return CacheTokens(self.read + other.read, self.written + other.written, self.written_1h + other.written_1h)


@dataclass(frozen=True)
class Reply:
    """A model's reply. `model` is the id that answered; tokens, cost and the provider's `finish_reason` are None where unknown.

    `reasoning_tokens` are those of `output_tokens` that a reasoning model spent before its answer, `cache` those of `input_tokens`
    that the provider's cache gave or took in; None where the provider counts none.
    """

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None
    reasoning_tokens: int | None = None
    cache: CacheTokens | None = None


def replace_surrogates(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True)
class Endpoint:
    """Address of a model: `provider` is the plug-in of `llm/`, `model` the provider's name of the model.

    `base_url` replaces the provider's own address; `timeout` is in seconds; paths of local models are relative to `folder`;
    `batch` is the largest number of requests that a local model computes at once; `headers` are sent with each request;
    `token_limit` is the name of the limit of a reply, None where the plug-in finds it out.
    """

    provider: str
    model: str
    base_url: str | None = None
    timeout: float = 60.0
    folder: str = "."
    batch: int = 16
    headers: tuple[tuple[str, str], ...] = ()
    token_limit: str | None = None


@dataclass(frozen=True)
class Grade:
    """A score, or None and the reason. `retry`: the next run may get a score, since no reply came.

    Where several scores are asked for at once, they are in `scores`, all or none, and `score` is None. `spreads` has how far the
    samples of each score are apart, where a row is asked about more than once.
    """

    score: float | None
    reason: str | None = None
    reply: str | None = None
    retry: bool = False
    scores: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()

    @property
    def values(self) -> tuple[float, ...]:
        """The scores: one, several, or none for a row without a score."""
        return self.scores if self.score is None else (self.score,)


Winner = Literal["first", "second", "tie"]
"""Which of two answers is better, by where it is in the prompt."""


@dataclass(frozen=True)
class Question:
    """One item of a test set. `groups` has its category and skill: kind of group -> name.

    `messages` are the turns of a conversation before the answer, as (role, text); empty for an instruction and its input.
    """

    id: str
    instruction: str
    input: str = ""
    groups: tuple[tuple[str, str], ...] = ()
    reference: str = ""
    messages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Vote:
    """What one reply of a judge says, by position in its prompt; `winner` is None where it says nothing, and `reason` why.

    `scores` are those of the first and the second answer, where the judge gives scores; of a judge that rates answers one by one,
    the one score. `reply` is the judge's text, where it is kept. `retry`: the next run may get a reply.
    """

    winner: Winner | None
    scores: tuple[float, ...] = ()
    reason: str = ""
    reply: str = ""
    retry: bool = False


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its path, its sha256 and its size in bytes.

    `partitions` has the columns that its folders `column=value` give, where the recipe asks for them. `compressed`: whether
    its bytes are those of a compressed file.
    """

    path: str
    digest: str
    bytes: int
    partitions: tuple[tuple[str, str | None], ...] = ()
    compressed: bool = True


RESERVED_CELLS = (
    "position",
    "row bytes",
    *(f"turned {column}" for column in ("problem", *ROW_FIELDS, "messages", "tools", "turns", "findings", "identity")),
)
"""Columns that the table of a scan has besides cells."""


@dataclass(frozen=True)
class Scan:
    """The files of a source and what is read of them, as data: engines turn it into a table.

    The table has `position` (from 1, over all files in their order) and one cell for each of `columns`: JSON, a text, or of the
    type that the file gives its column, as `cells` says.
    """

    table: str
    source: str
    format: str
    cells: Literal["json", "text", "typed"]
    files: tuple[SourceFile, ...]
    columns: tuple[str, ...]
    file_rows: tuple[int, ...] = ()
    """Rows of each file, for formats that have them in their metadata."""
    copied: bool = True
    """Whether the cells are copied into a table before anything else reads them; otherwise they are read in place."""
    options: ReadOptions = PLAIN
    numbered: bool = True
    """Whether a reader of Parquet may number the rows: no column of the files is called as its numbers are."""

    @property
    def names(self) -> Mapping[str, str]:
        """The name in the table of each of `columns`. SQL does not distinguish `A` from `a`."""
        return distinct(self.columns, taken=RESERVED_CELLS)


@dataclass(frozen=True)
class FilesFound:
    """What a source's files hold: columns with their types, found from all rows, and rows of each file."""

    columns: Mapping[str, str]
    file_rows: tuple[int, ...] | None = None
    empty: bool = False


@dataclass(frozen=True)
class SourceFacts:
    """What is known of a source before anything is read in full.

    `fields` maps instruction, input and response, or those of a conversation, to the source's columns; `columns` maps each
    column to its SQL type; `file_rows` has the rows of each file where the format has them in its metadata. `roles` maps odd
    names of roles; with `placeholder`, parts that are no text become a text. `own_id` is the column of the data's own ids;
    `keep` are the columns that datasets carry along.
    """

    name: str
    format: str
    files: tuple[SourceFile, ...]
    columns: Mapping[str, str]
    fields: Mapping[str, str]
    file_rows: tuple[int, ...] | None = None
    options: ReadOptions = PLAIN
    roles: Mapping[str, str] = field(default_factory=dict)
    placeholder: bool = False
    own_id: str | None = None
    keep: tuple[str, ...] = ()

    @property
    def is_conversation(self) -> bool:
        """Whether its rows are conversations, not three texts."""
        return not CONVERSATION_FIELDS.isdisjoint(self.fields)
