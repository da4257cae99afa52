"""A middling job side by side: 52,002 rows of Alpaca through alpaqual, DuckDB, pandas, HF datasets and data-juicer.

    ALPAQUAL_DATA=FOLDER python tests/bench/middling.py --peers-python PEERS/bin/python

FOLDER holds alpaca_52k.parquet; PEERS is a virtual environment made with:

    pip install torch==2.13.0 && pip install pandas datasets duckdb py-data-juicer aiohttp openai

(data-juicer imports aiohttp and openai without declaring them.) Each contender is one whole process, in turn, --rounds
times after a warm-up. The job: load; drop rows whose response is not 10 to 2,000 characters long, or whose instruction is
empty or the response itself, or whose response is less than 60 % letters and digits; keep those that pass the threshold of
accuracy; keep coding rows at no lower a rate than all rows; write JSON Lines. Contenders with the same job must keep
the same rows, or the script ends. With --page the tables are put into that page.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import (
    Contender,
    alpaqual_environment,
    installed,
    kept_rows,
    machine,
    measure_contender,
    progress,
    publish,
    ratio,
    spread,
    table,
    versions,
)

HERE = Path(__file__).resolve().parent
PEERS = ("pandas", "datasets", "py-data-juicer", "pyarrow", "torch")

RECIPE = r"""
version: 1
name: middling
sources:
  - path: {source}
    fields: {{instruction: instruction, input: input, response: output}}
rules:
  - {{id: response_length, column: response, check: {{str_length: {{min: 10, max: 2000}}}}, warn: 0, drop: true}}
  - {{id: instruction_there, where: "length(instruction) > 0 and instruction <> response", warn: 0, drop: true}}
  - id: mostly_alphanumeric
    where: length(regexp_replace(response, '[^\p{{L}}\p{{N}}]', '', 'g')) >= 0.6 * length(response)
    warn: 0
    drop: true
categories:
  - category: coding
    keywords: [Java, java, C++, c++, "C#", "c#", Python, python]
graders:
  accuracy: {{column: claude_accuracy_t45, scale: {{min: 0, max: 1}}}}
datasets:
  quality:
    threshold: {{accuracy: 1}}
    quotas:
      coding: {{min_keep_rate: overall}}
"""

JUICER = """
project_name: middling
dataset_path: {source}
export_path: {folder}/out.jsonl
text_keys: output
np: 2
process:
"""
# Its filters run one after the other on what is left: with the threshold first the others see a tenth of the rows.
JUICER_PLAIN = """\
  - specified_field_filter: {field_key: claude_accuracy_t45, target_value: [true]}
  - text_length_filter: {min_len: 10, max_len: 2000}
  - alphanumeric_filter: {tokenization: false, min_ratio: 0.6}
  - general_field_filter: {filter_condition: "instruction != '' and instruction != output"}
"""
# The two of these that take rows in batches; the other two take them one by one, which is where the time goes.
JUICER_BATCHED = """\
  - text_length_filter: {min_len: 10, max_len: 2000}
  - alphanumeric_filter: {tokenization: false, min_ratio: 0.6}
"""

# In another process: a child's peak memory starts at that of this one, so this one never loads DuckDB.
TO_JSON = """
import sys, duckdb
duckdb.execute(f"COPY (FROM '{sys.argv[1]}') TO '{sys.argv[2]}' (FORMAT json, ARRAY true)")
"""

TWO = "two filters"
FILTERS = "three filters"
PLAIN = "filters, threshold"
WHOLE = "whole"
EVERYTHING = "whole, reports"


def contenders(source: Path, peers: Path | None, having: dict[str, str]) -> list[Contender]:
    """All contenders, in the order in which they run."""
    python = sys.executable

    def script(name: str, file: str, job: str, *more: str) -> Contender:
        words = [python, HERE / "contenders" / file, source, "out.jsonl", *more]
        return Contender(name, job, lambda folder: words)

    def peer(name: str, package: str, file: str, job: str, *more: str) -> Contender:
        words = [peers or "", HERE / "contenders" / file, source, "out.jsonl", *more]
        missing = "" if package in having else "not installed"
        return Contender(name, job, lambda folder: words, environment=offline(source), missing=missing)

    def alpaqual(name: str, *, again: bool) -> Contender:
        return Contender(
            name,
            EVERYTHING,
            lambda folder: [python, "-m", "alpaqual", "run", "recipe.yaml"],
            output="runs/middling/datasets/quality.jsonl",
            prepare=lambda folder: write(folder / "recipe.yaml", RECIPE.format(source=source)),
            environment=alpaqual_environment(),
            keep_folder=again,
            folder="alpaqual",
        )

    def juicer(name: str, job: str, process: str) -> Contender:
        command = (peers or Path(python)).with_name("dj-process")
        missing = "" if "py-data-juicer" in having and command.exists() else "not installed"
        return Contender(
            name,
            job,
            lambda folder: [command, "--config", "recipe.yaml"],
            prepare=lambda folder: write(
                folder / "recipe.yaml", JUICER.format(source=source, folder=folder).lstrip() + process
            ),
            environment=offline(source),
            tree=True,
            missing=missing,
        )

    return [
        alpaqual("alpaqual `run`, first", again=False),
        alpaqual("alpaqual `run`, again", again=True),
        script("DuckDB, filters alone", "duckdb_plain.py", FILTERS),
        script("DuckDB, plain script", "duckdb_plain.py", PLAIN, "threshold"),
        script("DuckDB, whole job", "duckdb_whole.py", WHOLE),
        peer("pandas, filters alone", "pandas", "pandas_plain.py", FILTERS),
        peer("pandas", "pandas", "pandas_plain.py", PLAIN, "threshold"),
        peer("HF datasets, filters alone", "datasets", "datasets_plain.py", FILTERS),
        peer("HF datasets", "datasets", "datasets_plain.py", PLAIN, "threshold"),
        juicer("data-juicer", PLAIN, JUICER_PLAIN),
        juicer("data-juicer, batched filters alone", TWO, JUICER_BATCHED),
    ]


def offline(source: Path) -> dict[str, str]:
    """Caches in a folder that is made anew for each process, and no network."""
    caches = source.parent / "caches"
    return {
        "HF_HOME": str(caches / "hf"),
        "DATA_JUICER_CACHE_HOME": str(caches / "data_juicer"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def write(path: Path, text: str) -> None:
    """Write a contender's recipe."""
    path.write_text(text.lstrip(), encoding="utf-8")


def play(field: list[Contender], folder: Path, rounds: int) -> None:
    """Every contender once to warm up, then all of them in turn, round after round."""
    for turn in range(rounds + 1):
        for contender in field:
            if contender.missing:
                continue
            place = folder / (contender.folder or contender.name.replace(" ", "-").replace(",", "").replace("`", ""))
            shutil.rmtree(folder / "caches", ignore_errors=True)
            sample = measure_contender(contender, place)
            rows, digest = kept_rows(place / contender.output)
            if contender.rows is not None and (rows, digest) != (contender.rows, contender.digest):
                raise SystemExit(f"{contender.name}: kept other rows than the round before")
            contender.rows, contender.digest = rows, digest
            progress(f"{turn}/{rounds} {contender.name}: {sample.wall:.2f} s, {sample.rss:.0f} MiB, {rows} rows")
            if turn:
                contender.samples.append(sample)


def agree(field: list[Contender]) -> str:
    """Hold all with the same filters to the same rows.

    Raises SystemExit where two keep different ones.
    """
    lines = []
    for what, jobs in (("apply the threshold", (PLAIN, WHOLE, EVERYTHING)), ("stop at the three filters", (FILTERS,))):
        kept = {c.name: (c.rows, c.digest) for c in field if not c.missing and c.job in jobs}
        if len(set(kept.values())) > 1:
            raise SystemExit("not the same rows: " + ", ".join(f"{name} {rows}" for name, (rows, _) in kept.items()))
        lines.append(f"All {len(kept)} that {what} wrote the same {next(iter(kept.values()))[0]:,} rows.")
    return " ".join(lines)


def result(field: list[Contender]) -> str:
    """The table."""
    base = {c.name: c for c in field}
    against = [base[f"DuckDB, {name}"] for name in ("filters alone", "plain script", "whole job")]
    lines = []
    for contender in field:
        if contender.missing:
            lines.append([contender.name, contender.job, contender.missing, *["" for _ in range(6)]])
            continue
        lines.append(
            [
                contender.name,
                contender.job,
                spread(contender),
                *(ratio(contender, other) for other in against),
                f"{contender.median('cpu'):.2f}",
                f"{contender.median('rss'):,.0f}",
                f"{contender.rows:,}",
            ]
        )
    heads = [
        "contender",
        "job",
        "wall s, median (range)",
        "× filters alone",
        "× plain script",
        "× whole job",
        "CPU s",
        "peak RSS MiB",
        "rows written",
    ]
    return table(heads, lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("ALPAQUAL_DATA"), help="folder of alpaca_52k.parquet"
    )
    parser.add_argument("--peers-python", type=Path, help="interpreter that has pandas, datasets and py-data-juicer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["parquet", "json"], help="one of the two files alone")
    parser.add_argument("--page", type=Path, help="put the tables into this page")
    given = parser.parse_args()
    if given.data is None:
        parser.error("name the folder of alpaca_52k.parquet: ALPAQUAL_DATA or --data")
    # Not resolved: the interpreter of a virtual environment is a link, and it is the link that knows the environment.
    peers = Path(os.path.abspath(given.peers_python)) if given.peers_python else None  # noqa: PTH100
    having = installed(peers, *PEERS)
    there = versions({**installed(Path(sys.executable), "duckdb"), **having})
    parts = [f"{machine()} {there}. Medians of {given.rounds} rounds."]
    with tempfile.TemporaryDirectory(prefix="middling-") as temporary:
        for kind in [given.only] if given.only else ["parquet", "json"]:
            folder = Path(temporary) / kind
            folder.mkdir()
            source = folder / f"alpaca.{kind}"
            shutil.copyfile(given.data / "alpaca_52k.parquet", folder / "alpaca.parquet")
            if kind == "json":
                subprocess.run([sys.executable, "-c", TO_JSON, folder / "alpaca.parquet", source], check=True)
            field = contenders(source, peers, having)
            play(field, folder, given.rounds)
            size = source.stat().st_size / 1e6
            head = f"From {'Parquet' if kind == 'parquet' else 'JSON'} ({size:.0f} MB). {agree(field)}"
            parts.append(f"{head}\n\n{result(field)}")
            progress(parts[-1])
    publish("\n\n".join(parts), "middling.py", given.page)


if __name__ == "__main__":
    main()
