"""How long small commands take: --help, check without and with a where:, check of rules by name, and the quickstart.

    python tests/bench/startup.py

Each is one whole process, in turn, --rounds times after a warm-up. The quickstart recipe runs in a fresh folder each time.
With --page the table is put into that page.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from measuring import (
    REPOSITORY,
    Contender,
    alpaqual_environment,
    installed,
    machine,
    measure_contender,
    progress,
    publish,
    table,
    versions,
)

RECIPE = """
version: 1
name: small
sources:
  - path: rows.jsonl
rules:
  - {id: response_length, column: response, check: {str_length: {min: 10, max: 2000}}, warn: 0}
WHERE
categories:
  - category: coding
    keywords: [Java, java, C++, c++, "C#", "c#", Python, python]
graders:
  accuracy: {column: score, scale: {min: 0, max: 5, step: 0.5}}
datasets:
  quality:
    threshold: {accuracy: 4.5}
    quotas:
      coding: {min_keep_rate: overall}
"""
WHERE = '  - {id: instruction_there, where: "length(instruction) > 0 and instruction <> response", warn: 0}'
QUICKSTART = Path("recipes/quickstart.yaml")


def commands(root: Path) -> list[tuple[Contender, float]]:
    """Each command with the seconds it may take."""
    python = sys.executable
    rules = root / "rules"

    def alpaqual(name: str, *words: str, recipe: str = "", missing: str = "") -> Contender:
        def prepare(folder: Path) -> None:
            if recipe:
                if rules.is_dir():
                    shutil.copytree(rules, folder / "rules")
                (folder / "recipe.yaml").write_text(recipe.lstrip(), encoding="utf-8")
                (folder / "rows.jsonl").touch()

        command = [python, "-m", "alpaqual", *words]
        return Contender(
            name, "", lambda folder: command, prepare=prepare, environment=alpaqual_environment(), missing=missing
        )

    def quickstart() -> Contender:
        there = (root / QUICKSTART).exists()
        contender = alpaqual(f"run {QUICKSTART}", "run", str(QUICKSTART), missing="" if there else "no such recipe yet")

        def prepare(folder: Path) -> None:
            shutil.copytree(root / "recipes", folder / "recipes")
            if rules.is_dir():
                shutil.copytree(rules, folder / "rules")

        contender.prepare = prepare
        return contender

    without, with_where = RECIPE.replace("WHERE\n", ""), RECIPE.replace("WHERE", WHERE)
    named = RECIPE.replace("WHERE\n", "").replace("rules:\n", "rules:\n  - hygiene\n", 1)
    shipped = (rules / "hygiene.yaml").exists()
    interpreter = Contender("(python -c pass)", "", lambda folder: [python, "-c", "pass"])
    return [
        (interpreter, 0),
        (alpaqual("--help", "--help"), 0.15),
        (alpaqual("check, no where:", "check", "recipe.yaml", recipe=without), 0.4),
        (alpaqual("check, one where:", "check", "recipe.yaml", recipe=with_where), 0.4),
        (
            alpaqual(
                "check, with the rules of hygiene",
                "check",
                "recipe.yaml",
                recipe=named,
                missing="" if shipped else "no such rules yet",
            ),
            0.4,
        ),
        (quickstart(), 3.0),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--root", type=Path, default=REPOSITORY, help="where recipes/ and rules/ are")
    parser.add_argument("--page", type=Path, help="put the table into this page")
    given = parser.parse_args()
    field = commands(given.root.resolve())
    head = f"{machine()} {versions(installed(Path(sys.executable), 'click', 'sqlglot', 'duckdb'))}."
    with tempfile.TemporaryDirectory(prefix="startup-") as temporary:
        for turn in range(given.rounds + 1):
            for contender, _ in field:
                if contender.missing:
                    continue
                place = Path(temporary) / "place"
                sample = measure_contender(contender, place)
                progress(f"{turn}/{given.rounds} {contender.name}: {sample.wall:.3f} s")
                if turn:
                    contender.samples.append(sample)
    lines = []
    for contender, asked in field:
        target = f"{asked:.2f}" if asked else ""
        if contender.missing:
            lines.append([contender.name, contender.missing, "", target, ""])
            continue
        walls = [sample.wall for sample in contender.samples]
        met = ("yes" if contender.median() < asked else "**no**") if asked else ""
        lines.append(
            [
                contender.name,
                f"{contender.median():.3f} ({min(walls):.3f} to {max(walls):.3f})",
                f"{contender.median('cpu'):.3f}",
                target,
                met,
            ]
        )
    heads = ["command", "wall s, median (range)", "CPU s", "asked: under, s", "met"]
    publish(
        f"{head} Medians of {given.rounds} rounds.\n\n{table(heads, lines)}",
        "startup.py",
        given.page,
    )


if __name__ == "__main__":
    main()
