"""Reading a ledger of 500,000 replies again, side by side with another checkout.

    python tests/bench/ledger.py --other CHECKOUT

Each run is a process that opens the ledger and reads the reply to every key, in the order in which a second run of a recipe
asks. The two checkouts take turns, --rounds times after a warm-up; CPU seconds and peak memory are compared.
With --page the table is put into that page.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import REPOSITORY, Contender, machine, measure_contender, progress, publish, table

READ = """
import sys
from pathlib import Path
from alpaqual.store.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]) / "ledger")
missing = sum(ledger.get(key) is None for key in (Path(sys.argv[1]) / "keys").read_text().split())
assert len(ledger) == int(sys.argv[2]) and not missing, (len(ledger), missing)
"""
WHY = "The response is accurate and follows the instruction, but it lacks one detail about the second part of the question."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--other", type=Path, required=True, help="the checkout to compare with")
    parser.add_argument("--replies", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-") as temporary:
        folder = Path(temporary)
        size = _write(folder, given.replies)
        words = [sys.executable, "-c", READ, str(folder), str(given.replies)]
        checkouts = {"this": REPOSITORY, "other": given.other.resolve()}
        this, other = (
            Contender(name, "", lambda place: words, environment={"PYTHONPATH": str(root)})
            for name, root in checkouts.items()
        )
        for turn in range(given.rounds + 1):
            for contender in (this, other) if turn % 2 else (other, this):
                sample = measure_contender(contender, folder / "place")
                progress(f"{turn}/{given.rounds} {contender.name}: {sample.cpu:.2f} s of CPU")
                if turn:
                    contender.samples.append(sample)
    ratio = statistics.median(a.cpu / b.cpu for a, b in zip(this.samples, other.samples, strict=True))
    lines = [[each.name, f"{each.median('cpu'):.2f}", f"{each.median('rss'):,.0f}"] for each in (this, other)]
    text = table([f"{given.replies:,} replies, {size / 2**20:.0f} MiB", "CPU s", "peak RSS MiB"], lines)
    head = f"{machine()} Python {sys.version.split()[0]}. Medians of {given.rounds} rounds; median of the ratios of CPU seconds: {ratio:.2f}."
    publish(f"{head}\n\n{text}", "ledger.py", given.page)


def _write(folder: Path, count: int) -> int:
    """A ledger in one file, and its keys. Returns its bytes."""
    (folder / "ledger").mkdir()
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    with (folder / "ledger" / "replies.jsonl").open("w", encoding="utf-8") as file:
        for number, key in enumerate(keys):
            reply = {"key": key, "model": "openai/gpt-4o-mini", "text": f"{number % 11 / 2}\n{WHY}"}
            reply |= {"input_tokens": 300 + number % 90, "output_tokens": 30, "cost_usd": 7.1e-05}
            file.write(json.dumps(reply) + "\n")
    (folder / "keys").write_text("\n".join(keys), encoding="utf-8")
    return (folder / "ledger" / "replies.jsonl").stat().st_size


if __name__ == "__main__":
    main()
