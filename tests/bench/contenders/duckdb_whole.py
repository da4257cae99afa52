"""All that the recipe asks for, in bare DuckDB: every rule counted on every row, the keywords, the quota, the threshold.

It writes what alpaqual's selection writes, with the same ids, ties and order, and says the counts; it stores no failing
rows, no fates and no report. Ordinals of exact copies are left out: these rows have none.

python tests/bench/contenders/duckdb_whole.py IN.parquet OUT.jsonl
"""

import json
import sys

import duckdb

KEYWORDS = ["Java", "java", "C++", "c++", "C#", "c#", "Python", "python"]

source, target = sys.argv[1:]
found = [f"CONTAINS(instruction, '{k}') OR CONTAINS(input, '{k}') OR CONTAINS(output, '{k}')" for k in KEYWORDS]
con = duckdb.connect()
con.execute(
    f"""
    CREATE TABLE rows AS SELECT
      LEFT(MD5(CONCAT(LENGTH(instruction), ':', instruction, LENGTH(input), ':', input, LENGTH(output), ':', output)), 16) AS id,
      instruction, input, output, claude_accuracy_t45 AS kept,
      NOT LENGTH(output) BETWEEN 10 AND 2000 AS bad_length,
      NOT (LENGTH(instruction) > 0 AND instruction <> output) AS bad_instruction,
      LENGTH(REGEXP_REPLACE(output, '[^\\p{{L}}\\p{{N}}]', '', 'g')) < 0.6 * LENGTH(output) AS bad_share,
      bad_length OR bad_instruction OR bad_share AS removed,
      [{", ".join(found)}] AS hits, LIST_CONTAINS(hits, TRUE) AS coding
    FROM '{source}'
    """
)
hits = ", ".join(f"COUNT_IF(hits[{position}])" for position in range(1, len(KEYWORDS) + 1))
counts = con.execute(
    f"""
    SELECT COUNT_IF(NOT removed), COUNT_IF(NOT removed AND kept), COUNT_IF(NOT removed AND coding),
      COUNT_IF(NOT removed AND coding AND kept),
      COUNT_IF(bad_length), COUNT_IF(bad_instruction), COUNT_IF(bad_share), COUNT_IF(coding), {hits}
    FROM rows
    """
).fetchone()
by_score = con.execute("SELECT coding, kept, COUNT(*) FROM rows GROUP BY ALL ORDER BY ALL").fetchall()
eligible, above, coding, coding_above = counts[:4]
added = max(-(-above * coding // eligible) - coding_above, 0)
con.execute(
    f"""
    COPY (
      SELECT id, instruction, input, output FROM rows WHERE NOT removed AND kept
      UNION ALL
      SELECT id, instruction, input, output FROM (
        FROM rows WHERE NOT removed AND NOT kept AND coding ORDER BY MD5(CONCAT('0', id)), id LIMIT {added}
      ) AS added
      ORDER BY id
    ) TO '{target}' (FORMAT json)
    """
)
sys.stdout.write(json.dumps([counts, by_score, added]) + "\n")
