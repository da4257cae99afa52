"""The steps of a first run, or of a re-selection, as bare DuckDB statements; prints how long each took.

Two threads and 4 GB of memory. First run: content ids with ordinals for copies, written to rows.parquet; rows
that hold each of eight keywords; rows that fail each of three rules; threshold, written to out.jsonl. Re-selection, where
rows.parquet is there already: threshold, written to out.jsonl, with `ordered` in the order of ids as alpaqual writes it.

python tests/bench/contenders/duckdb_large.py first IN.parquet THRESHOLD
python tests/bench/contenders/duckdb_large.py select ROWS.parquet THRESHOLD [ordered]
"""

import sys
import time

import duckdb

KEYWORDS = ["Java", "java", "C++", "c++", "C#", "c#", "Python", "python"]
KEY = "CONCAT(LENGTH(instruction), ':', instruction, LENGTH(input), ':', input, LENGTH(output), ':', output)"

verb, source, threshold, *more = sys.argv[1:]
con = duckdb.connect(config={"threads": 2, "memory_limit": "4GB", "temp_directory": "spill"})


def step(name: str, sql: str) -> list[tuple]:
    """Run a statement and say how long it took."""
    start = time.perf_counter()
    rows = con.execute(sql).fetchall()
    sys.stdout.write(f"{name}: done in {time.perf_counter() - start:.2f} s\n")
    return rows


if verb == "first":
    step(
        "ids",
        f"""
        COPY (SELECT LEFT(MD5({KEY}), 16) AS id, file_row_number AS n, instruction, input, output, score
              FROM READ_PARQUET('{source}', file_row_number = true)) TO 'rows.parquet' (FORMAT parquet)
        """,
    )
    repeated = "SELECT id FROM 'rows.parquet' GROUP BY id HAVING COUNT(*) > 1"
    if step("copies", f"SELECT COUNT(*) FROM ({repeated})")[0][0]:
        step(
            "ordinals",
            f"""
            COPY (
              WITH copies AS (SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY score, n) AS ordinal
                              FROM 'rows.parquet' WHERE id IN ({repeated}))
              SELECT * EXCLUDE (ordinal) REPLACE (IF(ordinal > 1, CONCAT(id, '-', ordinal), id) AS id)
              FROM 'rows.parquet' LEFT JOIN copies USING (n)
            ) TO 'numbered.parquet' (FORMAT parquet)
            """,
        )
    source = "rows.parquet"
    hits = ", ".join(
        f"COUNT_IF(CONTAINS(instruction, '{k}') OR CONTAINS(input, '{k}') OR CONTAINS(output, '{k}'))" for k in KEYWORDS
    )
    step("keywords", f"SELECT {hits} FROM '{source}'")
    step(
        "rules",
        f"""
        SELECT COUNT_IF(LENGTH(output) NOT BETWEEN 10 AND 2000), COUNT_IF(LENGTH(instruction) = 0 OR instruction = output),
          COUNT_IF(REGEXP_MATCHES(output, 'As an AI')) FROM '{source}'
        """,
    )
order = "ORDER BY id" if more else ""
step(
    "threshold and write",
    f"COPY (SELECT id, instruction, input, output FROM '{source}' WHERE score >= {threshold} {order}) TO 'out.jsonl' (FORMAT json)",
)
