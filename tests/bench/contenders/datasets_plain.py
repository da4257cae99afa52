"""The plain job in Hugging Face datasets, one process: load, three filters, with `threshold` the threshold too, write JSON Lines.

python tests/bench/contenders/datasets_plain.py IN.parquet OUT.jsonl [threshold]
"""

import sys

from datasets import load_dataset


def good(instructions: list[str], outputs: list[str], scores: list[bool]) -> list[bool]:
    """Whether each row of a batch is kept; the cheap looks come first."""
    return [
        (score or not more)
        and 10 <= len(output) <= 2000
        and instruction not in ("", output)
        and sum(map(str.isalnum, output)) >= 0.6 * len(output)
        for instruction, output, score in zip(instructions, outputs, scores, strict=True)
    ]


source, target, *more = sys.argv[1:]
rows = load_dataset("parquet" if source.endswith(".parquet") else "json", data_files=source, split="train")
kept = rows.filter(good, batched=True, input_columns=["instruction", "output", "claude_accuracy_t45"])
kept.select_columns(["instruction", "input", "output"]).to_json(target, force_ascii=False)
