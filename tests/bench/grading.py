"""How fast rows are graded, side by side on one loopback server: the bare SDK, alpaqual, the paper's batches of 5, data-juicer.

    ALPAQUAL_DATA=FOLDER python tests/bench/grading.py --peers-python PEERS/bin/python

FOLDER holds alpaca_52k.parquet. The server answers after --latency milliseconds; each contender is one whole process, in turn.
All contenders send the same prompt, except data-juicer, which has its own. alpaqual does what the bare script does not: ledger, retries,
budget, pace, parsing, grades by row id, selection and reports. --memory grades 5,000 and 52,002 rows and compares peak memory.
--other CHECKOUT compares the CPU seconds of alpaqual in this and in another checkout, which take turns, and nothing else.
With --page the tables are put into that page.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measuring import (
    REPOSITORY,
    Contender,
    installed,
    machine,
    measure,
    progress,
    publish,
    spread,
    table,
    versions,
)

sys.path.insert(0, str(REPOSITORY / "tests"))
from loopback import Server

HERE = Path(__file__).resolve().parent / "contenders"
RECIPE = """
version: 1
name: grading
sources:
  - {{path: {rows}, fields: {{instruction: instruction, input: input, response: output}}}}
graders:
  accuracy:
    model: openai/gpt-4o-mini
    base_url: {url}
    concurrency: {concurrency}
    scale: {{min: 0, max: 5, step: 0.5}}
datasets:
  quality: {{threshold: {{accuracy: 4.5}}}}
"""
# Programs of other processes: a child's peak memory starts at that of this one, so this one never loads DuckDB.
CUT = """
import sys, duckdb
source, folder = sys.argv[1:3]
for rows in map(int, sys.argv[3:]):
    chosen = f"SELECT instruction, input, output FROM (SELECT *, row_number() OVER (ORDER BY id) AS k FROM '{source}') WHERE k <= {rows}"
    duckdb.execute(f"COPY ({chosen}) TO '{folder}/rows-{rows}.parquet' (FORMAT parquet)")
    duckdb.execute(f"COPY ({chosen}) TO '{folder}/rows-{rows}.jsonl' (FORMAT json)")
"""
JUDGED = '{"dimension_scores": {"accuracy": 4, "grammar": 4, "informativeness": 4, "coherence": 4}, "flags": [], "rationale": "", "recommendation": "keep"}'


def alpaqual(
    rows: Path, url: str, concurrency: int, root: Path = REPOSITORY, name: str = "alpaqual `run`"
) -> Contender:
    """A whole run of the checkout at `root`: load, grade, select, report."""

    def prepare(folder: Path) -> None:
        text = RECIPE.format(rows=rows, url=url, concurrency=concurrency)
        (folder / "recipe.yaml").write_text(text.lstrip(), encoding="utf-8")
        (folder / ".git").mkdir()

    words = [sys.executable, "-m", "alpaqual", "run", "recipe.yaml"]
    environment = {"OPENAI_API_KEY": "none", "PYTHONPATH": str(root)}
    return Contender(name, "", lambda folder: words, prepare=prepare, environment=environment)


def bare(name: str, rows: Path, url: str, concurrency: int, *more: str) -> Contender:
    """The openai package alone."""
    words = [sys.executable, HERE / "openai_bare.py", rows, "out.jsonl", url, str(concurrency), *more]
    return Contender(name, "", lambda folder: words)


def data_juicer(python: Path, rows: Path, url: str, processes: int) -> Contender:
    """Its LLM filter, with as many processes as requests may be in flight."""
    words = [python, HERE / "data_juicer_llm.py", rows, "out.jsonl", url, str(processes)]
    there = installed(python, "py-data-juicer")
    name = f"data-juicer, {processes} processes"
    return Contender(name, "", lambda folder: words, tree=True, missing="" if there else "not installed")


def round_of(field: Sequence[tuple[Contender, int]], server: Server, latency: float, *, keep: bool) -> None:
    """Every contender once; samples of a warm-up are not kept."""
    for contender, rows in field:
        if contender.missing:
            continue
        reply = JUDGED if contender.tree else "{score}\nBecause that is what this row deserves."
        server.restore(latency_ms=latency, reply=reply)
        with tempfile.TemporaryDirectory(prefix="grading-") as temporary:
            place = Path(temporary) / "place"
            place.mkdir()
            contender.prepare(place)
            sample = measure(contender.command(place), place, contender.environment, tree=contender.tree)
        seen = server.stats()
        contender.rows = seen["requests"]
        progress(
            f"{contender.name}: {rows / sample.wall:.0f} rows/s, {seen['requests']} requests, {seen['most_in_flight']} in flight"
        )
        if keep:
            contender.samples.append(sample)


def rates(folder: Path, given: argparse.Namespace) -> str:
    """Rows a second at each concurrency."""
    parts = []
    with Server() as server:
        for concurrency in given.concurrency:
            rows, few = folder / f"rows-{given.rows}.parquet", folder / f"rows-{given.few}"
            first = bare("openai package alone", rows, server.openai, concurrency)
            field: list[tuple[Contender, int]] = [
                (first, given.rows),
                (alpaqual(rows, server.openai, concurrency), given.rows),
            ]
            if concurrency == given.concurrency[0]:
                five = bare(
                    "batches of 5, as the paper's repository", few.with_suffix(".parquet"), server.openai, 5, "together"
                )
                field.append((five, given.few))
                if given.peers_python:
                    field.append(
                        (data_juicer(given.peers_python, few.with_suffix(".jsonl"), server.openai, 2), given.few)
                    )
            for turn in range(given.rounds):
                progress(f"{turn + 1}/{given.rounds} at {concurrency}")
                round_of(field, server, given.latency, keep=True)
            parts.append(
                f"At most {concurrency} in flight (batches of 5: 5; data-juicer: 2):\n\n{_table(field, first, given.rows)}"
            )
    return "\n\n".join(parts)


def _table(field: Sequence[tuple[Contender, int]], first: Contender, rows: int) -> str:
    lines = []
    for contender, count in field:
        if contender.missing:
            lines.append([contender.name, contender.missing, "", "", "", "", ""])
            continue
        rate, base = count / contender.median(), rows / first.median()
        cpu = contender.median("cpu") / count * 1000
        lines.append(
            [
                contender.name,
                f"{count:,}",
                f"{rate:.0f}",
                f"{rate / base:.2f}",
                spread(contender),
                f"{cpu:.2f}",
                f"{contender.median('rss'):,.0f}",
            ]
        )
    heads = ["contender", "rows", "rows/s", "× bare", "wall s, median (range)", "CPU ms a row", "peak RSS MiB"]
    return table(heads, lines)


def memory(folder: Path, given: argparse.Namespace) -> str:
    """Peak memory of a few and of all rows."""
    lines = []
    with Server() as server:
        for count in (5_000, 52_002):
            contender = alpaqual(folder / f"rows-{count}.parquet", server.openai, 64)
            round_of([(contender, count)], server, 5, keep=True)
            lines.append([f"{count:,}", f"{contender.median('rss'):,.0f}", f"{count / contender.median():.0f}"])
    return table(["rows", "peak RSS MiB", "rows/s"], lines)


def checkouts(folder: Path, given: argparse.Namespace) -> str:
    """CPU seconds of two checkouts, in turn."""
    lines = []
    with Server() as server:
        for concurrency in given.concurrency:
            rows = folder / f"rows-{given.rows}.parquet"
            this, other = (
                alpaqual(rows, server.openai, concurrency, root, name)
                for name, root in (("this", REPOSITORY), ("other", given.other.resolve()))
            )
            for turn in range(given.rounds + 1):
                pair = [(this, given.rows), (other, given.rows)]
                round_of(pair if turn % 2 else pair[::-1], server, given.latency, keep=turn > 0)
            ratio = statistics.median(a.cpu / b.cpu for a, b in zip(this.samples, other.samples, strict=True))
            lines.append([str(concurrency), *(f"{each.median('cpu'):.2f}" for each in (this, other)), f"{ratio:.2f}"])
    return table(["in flight", "CPU s, this", "CPU s, other", "median of the ratios"], lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("ALPAQUAL_DATA"), help="folder of alpaca_52k.parquet"
    )
    parser.add_argument("--peers-python", type=Path, help="interpreter that has py-data-juicer")
    parser.add_argument("--other", type=Path, help="the checkout to compare alpaqual with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--few", type=int, default=600, help="rows of the slow ones")
    parser.add_argument("--latency", type=float, default=100.0, help="milliseconds")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--memory", action="store_true", help="also 5,000 and 52,002 rows")
    parser.add_argument("--page", type=Path, help="put the tables into this page")
    given = parser.parse_args()
    peers = installed(given.peers_python, "py-data-juicer") if given.peers_python else {}
    head = f"{machine()} {versions({**installed(Path(sys.executable), 'openai', 'duckdb'), **peers})}. "
    head += f"The server answers after {given.latency:g} ms. Medians of {given.rounds} rounds."
    with tempfile.TemporaryDirectory(prefix="grading-rows-") as temporary:
        folder, source = Path(temporary), Path(given.data) / "alpaca_52k.parquet"
        counts = sorted({given.rows, given.few, *((5_000, 52_002) if given.memory else ())})
        subprocess.run([sys.executable, "-c", CUT, str(source), str(folder), *map(str, counts)], check=True)
        if given.other:
            publish(f"{head}\n\n{checkouts(folder, given)}", "grading.py --other", given.page)
            return
        text = f"{head}\n\n{rates(folder, given)}"
        if given.memory:
            text += f"\n\nMemory of `alpaqual run`, 64 in flight, answers after 5 ms, one round each:\n\n{memory(folder, given)}"
    publish(text, "grading.py", given.page)


if __name__ == "__main__":
    main()
