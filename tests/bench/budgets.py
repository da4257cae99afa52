"""What a provider bills when 1, 2, 4 and 6 processes share one budget, and after kills, against a loopback server.

    python tests/bench/budgets.py

The server bills every request that it has begun to answer. All processes grade the same rows with the same recipe until its budget
stops them. --kills processes are killed with SIGKILL in the middle of their requests, one after another, before a last one continues.
With --page the table is put into that page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import REPOSITORY, alpaqual_environment, installed, machine, progress, publish, table, versions

sys.path.insert(0, str(REPOSITORY / "tests"))
from loopback import Server

RECIPE = """
version: 1
name: budgets
sources: [{{path: rows.jsonl}}]
graders:
  accuracy:
    model: openai/m
    base_url: {url}
    concurrency: {concurrency}
    scale: {{min: 0, max: 5, step: 0.5}}
    price: {{input: 1000, output: 1000}}
    budget_usd: {budget}
    pilot: 0
datasets:
  quality: {{threshold: {{accuracy: 4.5}}}}
"""


@dataclass(frozen=True)
class Bill:
    """A way to bill: tokens that the server counts of each reply, and US dollars of the most expensive one."""

    name: str
    output_tokens: Any
    most: float


BILLS = (
    Bill("1 to 16 tokens out, at most `max_tokens`", [1, 16], 0.116),
    Bill("180 to 200 tokens out, beyond `max_tokens`", [180, 200], 0.3),
)


class Trial:
    """A project whose grader asks the server."""

    def __init__(self, folder: Path, server: Server, given: argparse.Namespace) -> None:
        self.folder = folder
        self.server = server
        (folder / ".git").mkdir()
        rows = [{"instruction": f"Question {at}", "output": f"Answer {at}."} for at in range(given.rows)]
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        text = RECIPE.format(url=server.openai, concurrency=given.concurrency, budget=given.budget)
        (folder / "recipe.yaml").write_text(text.lstrip(), encoding="utf-8")

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a run with a folder of its own."""
        words = [sys.executable, "-m", "alpaqual", "run", "recipe.yaml", "-q", "--out", name]
        environment = {**os.environ, **alpaqual_environment(), "OPENAI_API_KEY": "none"}
        return subprocess.Popen(words, cwd=self.folder, env=environment, stderr=subprocess.DEVNULL)

    def bill(self) -> float:
        """US dollars that the server bills."""
        stats = self.server.stats()
        return float(stats["input_tokens"] + stats["output_tokens"]) / 1000

    def kept(self) -> int:
        """Replies in the ledger. Raises SystemExit where one is there twice."""
        files = (self.folder / ".alpaqual/replies").glob("*.jsonl")
        keys = [json.loads(line)["key"] for file in files for line in file.read_bytes().splitlines()]
        if len(keys) != len(set(keys)):
            raise SystemExit("a reply is in the ledger twice")
        return len(keys)


def finish(processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait for runs that their budget stops. Raises SystemExit where one ends otherwise."""
    codes = [process.wait() for process in processes]
    if set(codes) != {4}:
        raise SystemExit(f"exit codes {codes}: every run should have been stopped by its budget")


def run(folder: str) -> None:
    """Run the recipe, in a process to be killed."""
    import alpaqual
    from alpaqual.errors import StageError

    os.chdir(folder)
    os.environ["OPENAI_API_KEY"] = "none"
    with contextlib.suppress(StageError):
        alpaqual.run("recipe.yaml", out="killed")


def kill(trial: Trial, kills: int) -> int:
    """Kill processes at random moments while requests are in flight; the number that were running.

    They are forked from one that has the modules: starting Python would take most of the time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["alpaqual.execution.model_grading", "alpaqual.report.html", "duckdb", "openai"])
    chance, killed = random.Random(1), 0
    for number in range(kills):
        before = trial.server.stats()["requests"]
        process = context.Process(target=run, args=(str(trial.folder),))
        process.start()
        while process.is_alive() and trial.server.stats()["requests"] <= before + 2:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
        killed += process.is_alive()
        process.kill()
        process.join()
        if not (number + 1) % 20:
            progress(f"{number + 1} processes, {killed} killed, ${trial.bill():.2f}")
    return killed


def row(trial: Trial, bill: Bill, given: argparse.Namespace, processes: int, killed: int) -> list[str]:
    """One row of the table."""
    usd, answered = trial.bill(), trial.server.stats()["answered"]
    kept = trial.kept()
    beyond = usd - given.budget
    progress(f"{bill.name}: {processes} processes, {killed} killed, ${usd:.3f}, {kept} replies")
    return [
        bill.name,
        f"{processes}",
        f"{killed}",
        f"{answered}",
        f"{answered - kept}",
        f"{given.budget:.2f}",
        f"{usd:.3f}",
        f"{beyond / given.budget:+.1%}",
        "yes" if beyond <= bill.most else "no",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 6])
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency", type=float, default=100.0, help="milliseconds")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    given = parser.parse_args()
    lines, in_flight = [], given.concurrency
    with Server() as server:
        for bill in BILLS:
            settings = {"input_tokens": 100, "output_tokens": bill.output_tokens, "latency_ms": given.latency}
            for processes in given.processes:
                server.restore(**settings)
                with tempfile.TemporaryDirectory(prefix="budgets-") as folder:
                    trial = Trial(Path(folder), server, given)
                    finish([trial.start(f"run-{number}") for number in range(processes)])
                    lines.append(row(trial, bill, given, processes, 0))
        if given.kills:
            # What was in flight at a kill is billed: with few requests in flight, the budget outlasts the kills.
            given.budget, given.rows, given.concurrency = 20 * given.budget, 10 * given.rows, 4
            server.restore(input_tokens=100, output_tokens=BILLS[0].output_tokens, latency_ms=given.latency)
            with tempfile.TemporaryDirectory(prefix="budgets-") as folder:
                trial = Trial(Path(folder), server, given)
                killed = kill(trial, given.kills)
                finish([trial.start("last")])
                lines.append(row(trial, BILLS[0], given, given.kills + 1, killed))
    heads = [
        "replies",
        "processes",
        "killed",
        "answered",
        "not received",
        "budget, $",
        "billed, $",
        "beyond",
        "within one reply",
    ]
    words = f"{machine()} {versions(installed(Path(sys.executable), 'openai'))}"
    text = f"{words}. {in_flight} in flight a process, 4 with kills; answers after {given.latency:g} ms; $0.10 a prompt.\n\n"
    publish(text + table(heads, lines), "budgets.py", given.page)


if __name__ == "__main__":
    main()
