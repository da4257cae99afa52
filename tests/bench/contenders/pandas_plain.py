"""The plain job in pandas: load, three filters, with `threshold` the threshold too, write JSON Lines.

python tests/bench/contenders/pandas_plain.py IN.parquet OUT.jsonl [threshold]
"""

import sys

import pandas as pd

source, target, *more = sys.argv[1:]
rows = pd.read_parquet(source) if source.endswith(".parquet") else pd.read_json(source)
length = rows["output"].str.len()
kept = (
    length.between(10, 2000)
    & (rows["instruction"] != "")
    & (rows["instruction"] != rows["output"])
    & (rows["output"].str.count(r"[\p{L}\p{N}]") >= 0.6 * length)
)
if more:
    kept &= rows["claude_accuracy_t45"]
rows.loc[kept, ["instruction", "input", "output"]].to_json(target, orient="records", lines=True, force_ascii=False)
