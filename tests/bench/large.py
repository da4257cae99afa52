"""A large job side by side: 10.4 million rows of distinct text through alpaqual and through bare DuckDB statements.

    ALPAQUAL_DATA=FOLDER python tests/bench/large.py --folder BIG

FOLDER holds alpaca_52k.parquet; BIG is a folder on a disk with 15 GB free, where the rows are made once: 200 copies of
Alpaca one after the other, each response with a suffix of its own, and a score of 1.0 to 5.0, a tenth of them 4.5 or 5.
Every contender gets 2 threads and 4 GB of DuckDB memory. (a) a first run: content ids with ordinals for copies written to Parquet,
eight keywords, three rules, threshold, JSON Lines; alpaqual also writes the failing rows, the fate of every row and the reports.
(b) a re-selection with another threshold, from what the first run stored. Each is one whole process, in turn. --copies 20
tries it small. With --page the tables are put into that page.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from measuring import (
    Contender,
    alpaqual_environment,
    installed,
    machine,
    measure,
    progress,
    publish,
    ratio,
    spread,
    table,
    versions,
)

BARE = Path(__file__).resolve().parent / "contenders" / "duckdb_large.py"
FIRST = "4.5"
RECIPE = """
version: 1
name: large
sources:
  - path: {source}
    fields: {{instruction: instruction, input: input, response: output}}
rules:
  - {{id: response_length, column: response, check: {{str_length: {{min: 10, max: 2000}}}}, warn: 0}}
  - {{id: instruction_there, where: "length(instruction) > 0 and instruction <> response", warn: 0}}
  - {{id: no_refusal, column: response, check: {{not_matches: "As an AI"}}, warn: 0}}
categories:
  - category: coding
    keywords: [Java, java, C++, c++, "C#", "c#", Python, python]
graders:
  accuracy: {{column: score, scale: {{min: 0, max: 5, step: 0.5}}}}
datasets:
  quality: {{threshold: {{accuracy: 4.5}}}}
engine: {{memory: 4GB, threads: 2}}
"""
# Programs of other processes: a child's peak memory starts at that of this one, so this one never loads DuckDB.
MAKE = """
import sys, duckdb
source, target, copies = sys.argv[1], sys.argv[2], int(sys.argv[3])
duckdb.execute(f"SET memory_limit = '4GB'; CREATE TABLE alpaca AS FROM '{source}' ORDER BY id")
parts = [f'''SELECT instruction, input, output || ' (' || LEFT(MD5(CONCAT({k}, ':', id)), 12) || ')' AS output,
  CASE WHEN claude_accuracy_t45 THEN 4.5 + 0.5 * ((id + {k}) % 2) ELSE 1.0 + 0.5 * ((id + 3 * {k}) % 7) END::DOUBLE AS score
  FROM alpaca''' for k in range(copies)]
duckdb.execute(f"COPY ({' UNION ALL '.join(parts)}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
"""
COUNT = """
import sys, duckdb
rows = f"read_json('{sys.argv[1]}', columns = {{instruction: 'VARCHAR', input: 'VARCHAR', output: 'VARCHAR'}})"
print(*duckdb.execute(f"SELECT COUNT(*), BIT_XOR(HASH(instruction, input, output)) FROM {rows}").fetchone())
"""


def make_rows(alpaca: Path, folder: Path, copies: int) -> tuple[Path, int]:
    """The Parquet file of the rows, made where it is not there yet, and how many rows it has."""
    target = folder / f"rows-{copies}.parquet"
    if not target.exists():
        progress(f"making {target}")
        unfinished = folder / "unfinished.parquet"
        words = [sys.executable, "-c", MAKE, str(alpaca), str(unfinished), str(copies)]
        subprocess.run(words, check=True, stdout=sys.stderr)  # DuckDB shows its progress there
        unfinished.rename(target)
    count = "import sys, duckdb; print(duckdb.execute(f\"SELECT COUNT(*) FROM '{sys.argv[1]}'\").fetchone()[0])"
    done = subprocess.run([sys.executable, "-c", count, str(target)], check=True, capture_output=True, text=True)
    return target, int(done.stdout)


def measured(contender: Contender, place: Path) -> dict[str, float]:
    """One round of a contender in `place`; the seconds of its steps.

    Raises SystemExit where it keeps other rows than before.
    """
    os.sync()  # so that no contender waits for the writes of the one before
    contender.samples.append(measure(contender.command(place), place, contender.environment))
    output = str(place / contender.output)
    done = subprocess.run([sys.executable, "-c", COUNT, output], check=True, capture_output=True, text=True)
    rows, digest = done.stdout.split()
    if contender.rows is not None and (int(rows), digest) != (contender.rows, contender.digest):
        raise SystemExit(f"{contender.name}: kept other rows than the round before")
    contender.rows, contender.digest = int(rows), digest
    last = contender.samples[-1]
    progress(f"{contender.name}: {last.wall:.2f} s, {last.rss:.0f} MiB, {rows} rows")
    log = place.with_name(f"{place.name}.log").read_text(encoding="utf-8")
    return {name: float(seconds) for name, seconds in re.findall(r"^([\w. ]+): done in ([\d.]+) s$", log, re.MULTILINE)}


def alpaqual(name: str, *more: str) -> Contender:
    """alpaqual with the recipe in its folder."""
    return Contender(
        name,
        "",
        lambda folder: [sys.executable, "-m", "alpaqual", "run", "recipe.yaml", "--out", "runs/large", *more],
        output="runs/large/datasets/quality.jsonl",
        environment=alpaqual_environment(),
    )


def bare(name: str, *words: str | Path) -> Contender:
    """The statements alone."""
    return Contender(name, "", lambda folder: [sys.executable, BARE, *words])


def first_runs(source: Path, folder: Path, rounds: int) -> str:
    """(a); leaves what both stored for (b)."""
    field = {"alpaqual": alpaqual("alpaqual `run`, first"), "bare": bare("bare DuckDB", "first", source, FIRST)}
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in field}
    for turn in range(rounds):
        progress(f"(a) {turn + 1}/{rounds}")
        for name, contender in field.items():
            place = folder / name
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            if name == "alpaqual":
                (place / "recipe.yaml").write_text(RECIPE.format(source=source).lstrip(), encoding="utf-8")
            steps[name].append(measured(contender, place))
    text = f"(a) A first run, medians of {rounds} rounds, asked: at most 1.3 times bare DuckDB.\n\n"
    text += result(list(field.values()), field["bare"], 1.3)
    return f"{text}\n\nWhere the seconds go (medians):\n\n{where(steps)}"


def where(steps: dict[str, list[dict[str, float]]]) -> str:
    """The seconds of every step, by who did it."""
    lines = []
    for name, rounds in steps.items():
        for step in rounds[0]:
            seconds = statistics.median(found[step] for found in rounds)
            lines.append([f"{name}: {step}", f"{seconds:.2f}"])
    return table(["step", "s"], lines)


def selections(folder: Path, thresholds: list[str], rounds: int) -> str:
    """(b)"""
    parts = []
    for threshold in thresholds:
        field = [
            alpaqual("alpaqual `run --set`", "--set", f"datasets.quality.threshold.accuracy={threshold}"),
            bare("bare DuckDB", "select", folder / "bare" / "rows.parquet", threshold),
            bare("bare DuckDB, ordered by id", "select", folder / "bare" / "rows.parquet", threshold, "ordered"),
        ]
        steps: list[dict[str, float]] = []
        for turn in range(rounds + 1):
            progress(f"(b) {threshold}: {turn}/{rounds}")
            for contender in field:
                ours = contender is field[0]
                before = set(stored(folder / "alpaqual"))
                found = measured(contender, folder / ("alpaqual" if ours else "bare"))
                if ours:
                    steps.append(found)
                for made in set(stored(folder / "alpaqual")) - before:
                    shutil.rmtree(made)  # the next round selects anew
        for contender in field:
            del contender.samples[0]  # the warm-up
        parts.append(
            f"(b) Re-selection at {threshold}, medians of {rounds} rounds, asked: at most 1.5 times bare DuckDB.\n\n"
            f"{result(field, field[1], 1.5)}\n\n{where({'alpaqual': steps[1:]})}"
        )
    return "\n\n".join(parts)


def stored(project: Path) -> Iterator[Path]:
    """The folders of stored results."""
    return (seal.parent for seal in (project / ".alpaqual" / "store").glob("*/*/seal.json"))


def result(field: list[Contender], base: Contender, asked: float) -> str:
    """A table.

    Raises SystemExit where two kept different rows.
    """
    if len({(contender.rows, contender.digest) for contender in field}) > 1:
        raise SystemExit("not the same rows: " + ", ".join(f"{c.name} {c.rows}" for c in field))
    lines = []
    for contender in field:
        ours = contender.name.startswith("alpaqual")
        met = ("yes" if contender.median() <= asked * base.median() else "**no**") if ours else ""
        lines.append(
            [
                contender.name,
                spread(contender),
                ratio(contender, base),
                f"{contender.median('cpu'):.1f}",
                f"{contender.median('rss'):,.0f}",
                f"{contender.rows:,}",
                met,
            ]
        )
    heads = ["contender", "wall s, median (range)", "ratio", "CPU s", "peak RSS MiB", "rows written", "met"]
    return table(heads, lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("ALPAQUAL_DATA"), help="folder of alpaca_52k.parquet"
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder of the rows and of all output")
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="of the first run")
    parser.add_argument("--select-rounds", type=int, default=5, help="of the re-selections")
    parser.add_argument("--thresholds", nargs="+", default=["5.0", "4.0"], help="of the re-selections")
    parser.add_argument("--page", type=Path, help="put the tables into this page")
    given = parser.parse_args()
    if given.data is None:
        parser.error("name the folder of alpaca_52k.parquet: ALPAQUAL_DATA or --data")
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    head = f"{machine()} {versions(installed(Path(sys.executable), 'duckdb'))}."
    source, rows = make_rows((given.data / "alpaca_52k.parquet").resolve(), folder, given.copies)
    size = source.stat().st_size / 1e9
    parts = [
        f"{head} {rows:,} rows, {size:.2f} GB of Parquet.",
        first_runs(source, folder, given.rounds),
        selections(folder, given.thresholds, given.select_rounds),
    ]
    publish("\n\n".join(parts), "large.py", given.page)


if __name__ == "__main__":
    main()
