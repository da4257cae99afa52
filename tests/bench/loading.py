"""Loading side by side with another checkout: 52,002 rows of CSV, JSON Lines and Parquet; and ten thousand small files.

    python tests/bench/loading.py alpaca_52k.parquet --other CHECKOUT
    python tests/bench/loading.py alpaca_52k.parquet --conversations

With --conversations the rows as triples and as `messages` of one user and one assistant turn are compared instead.
The recipe has one source and `datasets: {full: {}}`. Each run is a process in a fresh folder; the two checkouts take turns,
--rounds times after a warm-up, and CPU seconds are compared, which other work on the machine changes least. The small files
hold the rows of one JSON Lines file. With --page the tables are put into that page.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from measuring import (
    REPOSITORY,
    Contender,
    installed,
    machine,
    measure_contender,
    progress,
    publish,
    spread,
    table,
    versions,
)

FIELDS = ", fields: {instruction: instruction, input: input, response: output}"
RECIPE = f"version: 1\nname: load\nsources:\n  - {{path: PATH{FIELDS}}}\ndatasets: {{full: {{}}}}\n"
SMALL_FILES = 10_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="a Parquet file with instruction, input and output")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--other", type=Path, help="the checkout to compare with")
    what.add_argument("--conversations", action="store_true", help="compare triples with conversations")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--page", type=Path, help="put the tables into this page")
    given = parser.parse_args()
    head = f"{machine()} {versions(installed(Path(sys.executable), 'duckdb'))}. Medians of {given.rounds} rounds."
    with tempfile.TemporaryDirectory(prefix="loading-") as temporary:
        folder = Path(temporary)
        if given.conversations:
            text = _conversations(given.data, given.rounds, folder)
            publish(f"{head}\n\n{text}", "loading.py --conversations", given.page)
            return
        checkouts = {"this": REPOSITORY, "other": given.other.resolve()}
        sources = _files(given.data, folder)
        formats = {
            source: [_contender(name, path, root) for name, root in checkouts.items()]
            for source, path in sources.items()
            if source in ("csv", "jsonl", "parquet")
        }
        small = [_contender(source, sources[source], REPOSITORY) for source in ("one file", "small files")]
        for field in formats.values():
            _run(field, given.rounds, folder)
        _run(small, 3, folder)
    lines = []
    for source, (this, other) in formats.items():
        ratios = [a.cpu / b.cpu for a, b in zip(this.samples, other.samples, strict=True)]
        lines.append(
            [source, *(f"{each.median('cpu'):.2f}" for each in (this, other)), f"{statistics.median(ratios):.2f}"]
        )
    one, many = small
    text = table(["52,002 rows", "CPU s, this", "CPU s, other", "median of the ratios"], lines)
    text += "\n\n" + table(
        ["10,000 rows of JSON Lines", "wall s, median (range)", "CPU s", "times one file"],
        [
            [each.name, spread(each), f"{each.median('cpu'):.2f}", f"{each.median() / one.median():.2f}"]
            for each in (one, many)
        ],
    )
    publish(f"{head}\n\n{text}", "loading.py", given.page)


def _files(data: Path, folder: Path) -> dict[str, Path]:
    """The rows in each format, and ten thousand of them in one file and in small files."""
    import polars

    rows = polars.read_parquet(data).select("instruction", "input", "output")
    paths = {kind: folder / f"d.{kind}" for kind in ("csv", "jsonl", "parquet")}
    rows.write_csv(paths["csv"])
    rows.write_ndjson(paths["jsonl"])
    rows.write_parquet(paths["parquet"])
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows.head(SMALL_FILES).to_dicts()]
    (folder / "one").mkdir()
    (folder / "many").mkdir()
    _write(folder / "one", [lines])
    _write(folder / "many", ([line] for line in lines))
    return {**paths, "one file": folder / "one" / "*.jsonl", "small files": folder / "many" / "*.jsonl"}


def _conversations(data: Path, rounds: int, folder: Path) -> str:
    """Measure the rows as triples and as conversations, and return the table."""
    import polars

    rows = polars.read_parquet(data).select("instruction", "input", "output")
    turns = []
    for row in rows.to_dicts():
        question = "\n".join(text for text in (row["instruction"], row["input"]) if text)
        turns.append([{"role": "user", "content": question}, {"role": "assistant", "content": row["output"]}])
    lines = []
    for kind in ("jsonl", "parquet"):
        field = []
        for shape, frame in (("triples", rows), ("conversations", polars.DataFrame({"messages": turns}))):
            path = folder / f"{shape}.{kind}"
            frame.write_ndjson(path) if kind == "jsonl" else frame.write_parquet(path)
            recipe = RECIPE if shape == "triples" else RECIPE.replace(FIELDS, "")
            field.append(_contender(shape, path, REPOSITORY, recipe))
        _run(field, rounds, folder)
        triples, talks = field
        ratio = statistics.median(b.cpu / a.cpu for a, b in zip(triples.samples, talks.samples, strict=True))
        lines.append([kind, f"{triples.median('cpu'):.2f}", f"{talks.median('cpu'):.2f}", f"{ratio:.2f}"])
    return table(["52,002 rows", "CPU s, triples", "CPU s, conversations", "median of the ratios"], lines)


def _write(folder: Path, files: Iterable[Sequence[str]]) -> None:
    for number, lines in enumerate(files):
        (folder / f"{number:05}.jsonl").write_text("".join(lines), encoding="utf-8")


def _contender(name: str, path: Path, root: Path, recipe: str = RECIPE) -> Contender:
    def prepare(place: Path) -> None:
        (place / "recipe.yaml").write_text(recipe.replace("PATH", str(path)), encoding="utf-8")

    command = [sys.executable, "-m", "alpaqual", "run", "-q", "recipe.yaml"]
    return Contender(name, "", lambda place: command, prepare=prepare, environment={"PYTHONPATH": str(root)})


def _run(field: Sequence[Contender], rounds: int, folder: Path) -> None:
    for turn in range(rounds + 1):
        for contender in field if turn % 2 else reversed(field):
            place = folder / "place"
            sample = measure_contender(contender, place)
            progress(f"{turn}/{rounds} {contender.name}: {sample.cpu:.2f} s of CPU")
            if turn:
                contender.samples.append(sample)


if __name__ == "__main__":
    main()
