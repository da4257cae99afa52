"""One Protocol per kind of plug-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from alpaqual.contracts.checks import Check as Check
from alpaqual.contracts.checks import ConversationCheck as ConversationCheck
from alpaqual.contracts.checks import FailingRows as FailingRows
from alpaqual.errors import Fault

if TYPE_CHECKING:
    # Every command imports this module; few need these.
    from alpaqual.job import Job
    from alpaqual.values import FilesFound, Grade, Question, Reply, Request, Row, Scan, Vote

RowReader = Callable[[str], Iterator[tuple[dict[str, Any] | None, str]]]
"""Yields each row of a file: (its values, "") or (None, why it cannot be read and where). Raises ValueError for the whole file."""


class Source(Protocol):
    """Reads one file format: `alpaqual/sources/<format>.py` with a class `Plugin`.

    A reader that takes options of a recipe's source names them in `OPTIONS` and is made with `ReadOptions`. A method
    `places(file)` with the place of each row ("line 7"), in the order of `rows`, serves the messages of quarantine; a method
    `records(file)` with the JSON text of each row serves datasets of `format: source`.
    """

    VERSION: int
    """Part of every fingerprint: raised when the same file gives other rows."""
    SUFFIXES: tuple[str, ...]
    """Endings of file names, without that of a compression."""
    CELLS: Literal["json", "text", "typed"]
    """What a cell is: JSON, a text, or of the type that the file gives its column. A source that yields rows has JSON."""

    def rows(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        """Yield every row of a file: (its values, "") or (None, why it cannot be read and where).

        An engine with a reader of its own for the format uses this for files that its reader refuses.
        Raises ValueError, with the place, where the file as a whole cannot be read.
        """
        ...


class Engine(Protocol):
    """Runs the statements of a plan: `alpaqual/engines/<name>.py` with a class `Plugin(memory=, threads=, spill=)`.

    Statements are in DuckDB's SQL. Every method raises QueryError with the engine's reason.
    """

    @staticmethod
    def reads(kind: str) -> bool:
        """Whether the engine has a reader of its own for a source format."""
        ...

    def describe(self, scan: Scan) -> FilesFound:
        """Columns of files of a format that `reads` has, with their types, found from all rows.

        Of a format of texts, only the columns that the scan names get a type other than VARCHAR. Raises QueryError where the
        engine cannot read the files alone.
        """
        ...

    def load(self, scan: Scan, rows: RowReader) -> Sequence[tuple[int, str]]:
        """Make `scan.table`. Files that the engine cannot read alone come row by row from `rows`.

        Returns (position, reason) of each row that cannot be read. Raises ValueError where a file as a whole cannot.
        """
        ...

    @staticmethod
    def scan_sql(scan: Scan) -> str | None:
        """The query that reads the files, for a person to run again; None where only `rows` reads them."""
        ...

    def check_files(self, scan: Scan) -> Iterator[tuple[str, str]]:
        """Read each typed file to its end: yields (path, reason) of each that is damaged."""
        ...

    def view(self, table: str, files: Sequence[Path]) -> None:
        """Make stored Parquet files readable as one table."""
        ...

    def create(self, table: str, query: str, what: str) -> None:
        """Make a temporary table of a query's rows."""
        ...

    def insert(self, table: str, rows: Sequence[Sequence[str | int | float | None]], what: str) -> None:
        """Append rows to a temporary table."""
        ...

    def table(self, table: str, query: str, path: Path, what: str) -> None:
        """Store a query's rows as a Parquet file and make it readable as `table`."""
        ...

    def drop(self, table: str) -> None:
        """Drop a temporary table or a view, where there is one."""
        ...

    def export(self, query: str, path: Path, what: str) -> None:
        """Write a query's rows as JSON Lines."""
        ...

    def facts(self, query: str, what: str) -> list[dict[str, Any]]:
        """All rows of a small query, by column name."""
        ...

    def columns(self, table: str) -> Mapping[str, str]:
        """Columns of a table and their types."""
        ...

    def rows(self, query: str, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query in lists of `size`: memory does not grow with their number."""
        ...

    def streaming(self) -> AbstractContextManager[None]:
        """Read ahead as little as possible while rows are taken a few at a time."""
        ...

    def allow_network(self) -> None:
        """Make `hf://` paths readable. Raises MachineError where they cannot be."""
        ...

    def close(self) -> None: ...


class Ledger(Protocol):
    """Paid replies by key; its length is their number."""

    def __len__(self) -> int: ...

    def key(self, request: Request) -> str:
        """The key of a request."""
        ...

    def get(self, key: str) -> Reply | None:
        """The reply to the request with this key."""
        ...

    def add(self, key: str, reply: Reply, requested_model: str = "") -> None:
        """Write a reply at once, with the model of the request: a process that is killed now loses none."""
        ...

    def claim(self, key: str) -> bool:
        """Claim a key for this process; False while another process holds it. `get` then has what that one wrote."""
        ...

    def release(self, key: str) -> None:
        """Release the claim of a key."""
        ...

    def is_external(self, key: str) -> bool:
        """Whether another process wrote this reply during this run; true once for each."""
        ...

    def refresh(self) -> None:
        """Read what other processes have written since the last time."""
        ...

    def reset_external(self) -> None:
        """Treat every reply that is in the ledger now as known: `is_external` is for later ones."""
        ...

    def flush(self) -> None:
        """Wait until every reply is on the disk: a machine that loses power now loses none."""
        ...


class RefusedRequests(Protocol):
    """Requests that a model refused for good, by ledger key."""

    def get(self, key: str) -> Fault | None:
        """The fault of a refused request; None for others."""
        ...

    def add(self, key: str, model: str, fault: Fault) -> None:
        """Keep a refused request, so that it is not sent again."""
        ...


class Model(Protocol):
    """Answers requests: `alpaqual/llm/<provider>.py`, or an entry point of `alpaqual.llm`, with a class `Plugin(endpoint)`.

    The class attributes say what a provider can do. Recipes are checked against them, so the module that defines them
    imports heavy packages inside functions only.
    """

    BATCH_REQUESTS: int
    """Largest number of requests in one batch; 0: no batch API. Others are a `BatchModel`."""
    PROBABILITIES: bool
    """Whether it computes log-probabilities: requests with `choices` or `measure`. One that answers only those with `choices`
    has `EXPECTATIONS = True` instead; both may lack that attribute."""
    STRUCTURED: bool
    """Whether replies follow a JSON `schema`."""
    LOCAL: bool
    """Whether it runs in this process, from model files at a path in the recipe's folder. The files' digest identifies it."""
    FREE: bool
    """Whether replies cost nothing."""
    RECORDED: bool
    """Whether its replies are read from a ledger file or folder in the recipe's folder, and nothing is sent."""

    async def complete(self, request: Request) -> Reply:
        """The reply. Raises Fault where there is none."""
        ...

    async def alive(self) -> bool:
        """Whether the server responds; costs nothing."""
        ...

    async def close(self) -> None:
        """Close connections and free memory."""
        ...


class BatchState(NamedTuple):
    """State of a batch: `done` requests of `total` are answered; `ended` when no more will be."""

    ended: bool
    done: int
    total: int


class BatchModel(Model, Protocol):
    """Also accepts requests in batches, at half the price and within a day.

    A fault from `poll` or `results` of the kind REQUEST means that the batch is lost and its requests may be sent again;
    REFUSED means that the whole batch failed.
    """

    async def submit(self, label: str, requests: Sequence[tuple[str, Request]]) -> str:
        """Submit (ledger key, request) pairs under a label; returns the batch's id. Raises Fault."""
        ...

    async def find(self, label: str) -> str | None:
        """The id of the batch that was submitted under this label, where the provider has it. Raises Fault."""
        ...

    async def poll(self, batch: str) -> BatchState:
        """The state of a batch. Raises Fault."""
        ...

    def results(self, batch: str) -> AsyncIterator[tuple[str, Reply | Fault]]:
        """(ledger key, reply or fault) of an ended batch, in any order; requests that are missing were not answered."""
        ...


class Grader(Protocol):
    """Gives rows a score: `alpaqual/graders/<kind>.py`, or an entry point of `alpaqual.graders`, with a class `Plugin`.

    Its class is called with (PromptSpec, model id). A kind that asks no model is an `ExpressionGrader`.
    """

    VERSION: int
    """Part of every fingerprint: raised when the same reply gives another score."""
    SCALE: tuple[float, float]
    """Lowest and highest score where the recipe names no scale."""
    EXPRESSION: str | None
    """None: the score comes from a model."""
    PROBABILITIES: bool
    """Whether it needs a model that computes log-probabilities."""

    def request(self, row: Row) -> Request:
        """The request that asks for a row's score."""
        ...

    def read(self, reply: Reply) -> Grade:
        """The grade that a reply gives."""
        ...

    def follow_up(self, request: Request, grade: Grade, attempt: int) -> Request | None:
        """The request after the `attempt`-th reply without a score; None where another request would not help."""
        ...


class ExpressionGrader(Protocol):
    """Gives rows a score that the engine computes: also `alpaqual/graders/<kind>.py`, with a class `Plugin`."""

    VERSION: int
    """Part of every fingerprint: raised when the same row gets another score."""
    SCALE: tuple[float, float]
    """Lowest and highest score where the recipe names no scale."""
    EXPRESSION: str
    """SQL over the columns of `rows` that is the score."""
    MISSING: str
    """The reason of a row for which the expression is NULL."""
    TITLE: str
    """The score in words, such as "length of the response"."""
    PROBABILITIES: bool
    """False: no model is asked."""


class Judge(Protocol):
    """Compares answers: `alpaqual/judges/<kind>.py`, or an entry point of `alpaqual.judges`, with a class `Plugin`.

    Its class is called with (JudgeSpec, model id).
    """

    VERSION: int
    """Part of every fingerprint: raised when the same reply gives another vote."""
    PAIRWISE: bool
    """Whether a request shows two answers; one that rates answers one by one is asked once about each."""
    SCORES: bool
    """Whether its votes have scores."""

    def request(self, question: Question, first: str, second: str) -> Request:
        """The request that compares two answers in this order; of a judge that is not pairwise, about `first` alone."""
        ...

    def read(self, reply: Reply) -> Vote:
        """The vote that a reply gives; without a winner and with the reason where it gives none."""
        ...

    def follow_up(self, request: Request, vote: Vote, attempt: int) -> Request | None:
        """The request after the `attempt`-th reply without a vote; None where another request would not help."""
        ...


class Trainer(Protocol):
    """Makes of a job what a training program reads: `alpaqual/trainers/<name>` with a class `Plugin`."""

    VERSION: int
    """Part of every fingerprint: raised when the same job gives another model."""
    TRAINS: bool
    """Whether its command leaves a model and a manifest where `run` looks for them; others write for people who train elsewhere."""

    def files(self, job: Job) -> Mapping[str, str]:
        """The text of each file, by its path in the job's folder; those that end in .sh are made executable.

        Raises ValueError, with the setting, where the program has no way to do what the job asks.
        """
        ...

    def command(self, job: Job) -> Sequence[str]:
        """What trains, run in the job's folder of one machine."""
        ...


class ReportFormat(Protocol):
    """Writes a report as text: `alpaqual/report_formats/<name>` with a class `Plugin`."""

    FILE: str | None
    """Its file in the run folder; None for a format that `alpaqual run` does not write."""

    def text(self, report: Any) -> str:
        """Return an `alpaqual.report.report.Report` in this format.

        Raises MachineError where a package that the format needs is missing.
        """
        ...
