"""The plain DuckDB script: load, three filters, with `threshold` the threshold too, write JSON Lines. One statement.

python tests/bench/contenders/duckdb_plain.py IN.parquet OUT.jsonl [threshold]
"""

import sys

import duckdb

source, target, *more = sys.argv[1:]
threshold = "AND claude_accuracy_t45" if more else ""
duckdb.execute(
    f"""
    COPY (
      SELECT instruction, input, output FROM '{source}'
      WHERE LENGTH(output) BETWEEN 10 AND 2000
        AND LENGTH(instruction) > 0 AND instruction <> output
        AND LENGTH(REGEXP_REPLACE(output, '[^\\p{{L}}\\p{{N}}]', '', 'g')) >= 0.6 * LENGTH(output) {threshold}
    ) TO '{target}' (FORMAT json)
    """
)
