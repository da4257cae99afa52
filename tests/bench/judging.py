"""How fast pairs of answers are judged in both orders, side by side on one loopback server: the bare SDK and alpaqual.

    ALPAQUAL_DATA=FOLDER python tests/bench/judging.py

FOLDER holds alpaca_52k.parquet: its instructions are the questions, its outputs and those of the next rows the answers. The server
answers after --latency milliseconds; each contender is one whole process, in turn. Both send the same prompt. alpaqual does what the
bare script does not: ledger, retries, budget, parsing, verdicts, figures and reports. With --page the table is put into that page.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import REPOSITORY, Contender, installed, machine, measure, progress, publish, spread, table, versions

sys.path.insert(0, str(REPOSITORY / "tests"))
from loopback import Server

BARE = Path(__file__).resolve().parent / "contenders" / "judging_bare.py"
RECIPE = """
version: 1
name: judging
sources: [{{path: source.jsonl}}]
evaluation:
  test_sets: [{{name: own, path: questions.jsonl}}]
  models: {{a: {{answers: a.jsonl}}, b: {{answers: b.jsonl}}}}
  judge: {{model: openai/gpt-4o-mini, base_url: {url}, concurrency: {concurrency}}}
  pairs: [[a, b]]
datasets: {{full: {{}}}}
"""
# A program of another process: a child's peak memory starts at that of this one, so this one never loads DuckDB.
MADE = """
import sys, duckdb
source, folder, count = sys.argv[1:4]
rows = f"(SELECT id, instruction, input, output, lead(output, 1, '') OVER (ORDER BY id) AS other FROM '{source}' ORDER BY id LIMIT {count})"
question = "instruction || CASE WHEN COALESCE(input, '') = '' THEN '' ELSE chr(10) || chr(10) || input END"
write = lambda query, name: duckdb.execute(f"COPY ({query}) TO '{folder}/{name}.jsonl' (FORMAT json)")
write(f"SELECT id, instruction, COALESCE(input, '') AS input FROM {rows} WHERE instruction <> ''", "questions")
write(f"SELECT id, output AS answer FROM {rows}", "a")
write(f"SELECT id, other AS answer FROM {rows}", "b")
write(f"SELECT {question} AS question, output AS a, other AS b FROM {rows} WHERE instruction <> ''", "items")
write("SELECT 'a' AS instruction, 'b' AS output", "source")
"""


def contenders(made: Path, url: str, concurrency: int) -> list[Contender]:
    """The bare SDK and a whole run of alpaqual."""

    def prepare(folder: Path) -> None:
        for name in ("questions", "a", "b", "source"):
            (folder / f"{name}.jsonl").symlink_to(made / f"{name}.jsonl")
        text = RECIPE.format(url=url, concurrency=concurrency)
        (folder / "recipe.yaml").write_text(text.lstrip(), encoding="utf-8")
        (folder / ".git").mkdir()

    bare = [sys.executable, BARE, made / "items.jsonl", "out.jsonl", url, str(concurrency)]
    words = [sys.executable, "-m", "alpaqual", "run", "recipe.yaml"]
    environment = {"OPENAI_API_KEY": "none", "PYTHONPATH": str(REPOSITORY)}
    return [
        Contender("openai package alone", "", lambda folder: bare),
        Contender("alpaqual `run`", "", lambda folder: words, prepare=prepare, environment=environment),
    ]


def rates(made: Path, given: argparse.Namespace) -> str:
    """Requests a second at each concurrency."""
    lines = []
    with Server(judge="random") as server:
        for concurrency in given.concurrency:
            field = contenders(made, server.openai, concurrency)
            for turn in range(given.rounds + 1):
                for contender in field if turn % 2 else field[::-1]:
                    server.restore(latency_ms=given.latency, judge="random")
                    with tempfile.TemporaryDirectory(prefix="judging-") as temporary:
                        place = Path(temporary) / "place"
                        place.mkdir()
                        contender.prepare(place)
                        sample = measure(contender.command(place), place, contender.environment)
                    contender.rows = server.stats()["requests"]
                    progress(f"{contender.name}: {contender.rows / sample.wall:.0f} requests/s of {contender.rows}")
                    if turn:
                        contender.samples.append(sample)
            base = (field[0].rows or 0) / field[0].median()
            for contender in field:
                rate = (contender.rows or 0) / contender.median()
                cpu = contender.median("cpu") / (contender.rows or 1) * 1000
                lines.append(
                    [
                        contender.name,
                        str(concurrency),
                        f"{contender.rows:,}",
                        f"{rate:.0f}",
                        f"{rate / base:.2f}",
                        spread(contender),
                        f"{cpu:.2f}",
                        f"{contender.median('rss'):,.0f}",
                    ]
                )
    heads = ["contender", "in flight", "requests", "requests/s", "× bare", "wall s, median (range)", "CPU ms a request"]
    return table([*heads, "peak RSS MiB"], lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("ALPAQUAL_DATA"), help="folder of alpaca_52k.parquet"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--latency", type=float, default=100.0, help="milliseconds")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--page", type=Path, help="put the table into this page")
    given = parser.parse_args()
    head = f"{machine()} {versions(installed(Path(sys.executable), 'openai', 'duckdb'))}. "
    head += f"The server answers after {given.latency:g} ms. Medians of {given.rounds} rounds."
    with tempfile.TemporaryDirectory(prefix="judging-items-") as temporary:
        source = str(Path(given.data) / "alpaca_52k.parquet")
        subprocess.run([sys.executable, "-c", MADE, source, temporary, str(given.items)], check=True)
        publish(f"{head}\n\n{rates(Path(temporary), given)}", "judging.py", given.page)


if __name__ == "__main__":
    main()
