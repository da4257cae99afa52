-- Every statement of this run, in order. Paste it into duckdb: each result becomes a table of that database.
-- Scores that came from a model or a file are read from tables/ beside this file.

-- loading

CREATE OR REPLACE TABLE "unreadable" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS reason, '' AS text WHERE FALSE;

CREATE OR REPLACE TABLE "places" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS place WHERE FALSE;

CREATE OR REPLACE TABLE "scanned.source" AS
SELECT ROW_NUMBER() OVER () AS position, "instruction", "input", "output", "key" FROM read_json(['/project/rows.jsonl'], format = 'newline_delimited', records = true, compression = 'none', columns = {'instruction': 'JSON', 'input': 'JSON', 'output': 'JSON', 'key': 'JSON'}, hive_partitioning = false);

CREATE OR REPLACE TABLE "loaded" AS
SELECT LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN MD5(CONCAT(MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))), instruction IS NULL, response IS NULL)) ELSE MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))) END, 16) AS id, n, source, instruction, input, response, "source.key"
FROM (SELECT 0 + position AS n, 'source' AS source, ("instruction" ->> '$') AS instruction, ("input" ->> '$') AS input, ("output" ->> '$') AS response, ("key" ->> '$') AS "source.key" FROM "scanned.source" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' END IS NULL) AS loaded;

CREATE OR REPLACE TABLE "rows" AS
WITH copies AS (
  SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY "source.key", source, n) AS ordinal FROM loaded
  WHERE id IN (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1)
)
SELECT CASE WHEN ordinal > 1 THEN CONCAT(id, '-', ordinal) ELSE id END AS id, n, source, instruction, input, response, "source.key"
FROM loaded LEFT JOIN copies USING (n);

CREATE OR REPLACE TABLE "incomplete" AS
SELECT n, 'instruction is null' AS reason FROM rows WHERE instruction IS NULL
UNION ALL
SELECT n, 'response is null' AS reason FROM rows WHERE response IS NULL;

CREATE OR REPLACE TABLE "quarantine" AS
SELECT source, position, CONCAT(place || ': ', reason) AS reason, text FROM (SELECT source, position, reason, text FROM "unreadable"
UNION ALL
SELECT 'source' AS source, position, CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' END AS reason, LEFT(CONCAT_WS(' | ', CAST("instruction" AS VARCHAR), CAST("input" AS VARCHAR), CAST("output" AS VARCHAR)), 200) AS text FROM "scanned.source" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' END IS NOT NULL) AS refused LEFT JOIN "places" AS places USING (source, position) ORDER BY source, position;

-- counts: source_rows
SELECT source, COUNT(*) AS rows FROM rows GROUP BY source ORDER BY source;

-- counts: quarantined
SELECT source, COUNT(*) AS rows FROM quarantine GROUP BY source ORDER BY source;

-- counts: incomplete
SELECT reason, COUNT(*) AS rows FROM incomplete GROUP BY reason ORDER BY reason;

-- counts: quarantine_examples
SELECT * FROM (SELECT source, position, reason FROM quarantine ORDER BY ROW_NUMBER() OVER (PARTITION BY source ORDER BY position), source LIMIT 20) AS examples ORDER BY source, position;

-- grading.human

CREATE OR REPLACE TABLE "grades.human" AS
SELECT n, id, score, reason, reply FROM read_parquet('tables/grades.parquet') WHERE grader = 'human';

-- grading.accuracy

CREATE OR REPLACE TABLE "grades.accuracy" AS
SELECT n, id, score, reason, reply FROM read_parquet('tables/grades.parquet') WHERE grader = 'accuracy';

-- grading.careful

CREATE OR REPLACE TABLE "grades.careful" AS
SELECT n, id, score, reason, reply FROM read_parquet('tables/grades.parquet') WHERE grader = 'careful';

-- assessing.accuracy

-- counts: length
SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows, CASE WHEN SUM(rows) >= 3 AND SUM(rows * rank_x * rank_x) > 0 AND SUM(rows * rank_y * rank_y) > 0 THEN ROUND(CAST(SUM(rows * rank_x * rank_y) AS DOUBLE) / (SQRT(CAST(SUM(rows * rank_x * rank_x) AS DOUBLE)) * SQRT(CAST(SUM(rows * rank_y * rank_y) AS DOUBLE))), 6) END AS spearman FROM (SELECT rows, SUM(rows) OVER (ORDER BY x) - SUM(rows) OVER (ORDER BY x DESC) AS rank_x, SUM(rows) OVER (ORDER BY y) - SUM(rows) OVER (ORDER BY y DESC) AS rank_y FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT grades.score AS x, LENGTH(rows.response) AS y FROM "grades.accuracy" AS grades JOIN rows ON rows.n = grades.n WHERE grades.score IS NOT NULL AND rows.response IS NOT NULL) AS found GROUP BY x, y) AS pairs) AS ranked;

-- counts: template_tokens
SELECT COUNT(*) AS rows FROM rows WHERE REGEXP_MATCHES(CONCAT(instruction, ' ', input, ' ', response), '<\|[A-Za-z0-9_-]{2,40}\|>|<｜[^｜<>\n]{2,40}｜>|<(start|end)_of_turn>|</?s>|<[be]os>|\[/?(INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]|<</?SYS>>');

-- counts: agreement
SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows, CASE WHEN SUM(rows) >= 3 AND SUM(rows * rank_x * rank_x) > 0 AND SUM(rows * rank_y * rank_y) > 0 THEN ROUND(CAST(SUM(rows * rank_x * rank_y) AS DOUBLE) / (SQRT(CAST(SUM(rows * rank_x * rank_x) AS DOUBLE)) * SQRT(CAST(SUM(rows * rank_y * rank_y) AS DOUBLE))), 6) END AS spearman FROM (SELECT rows, SUM(rows) OVER (ORDER BY x) - SUM(rows) OVER (ORDER BY x DESC) AS rank_x, SUM(rows) OVER (ORDER BY y) - SUM(rows) OVER (ORDER BY y DESC) AS rank_y FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT this.score AS x, other.score AS y FROM (SELECT n, score FROM "grades.accuracy") AS this JOIN (SELECT n, score FROM "grades.human") AS other ON other.n = this.n WHERE this.score IS NOT NULL AND other.score IS NOT NULL) AS found GROUP BY x, y) AS pairs) AS ranked;

-- counts: one_scored
SELECT COUNT(CASE WHEN this.score IS NOT NULL AND other.score IS NULL THEN 1 END) AS this_only, COUNT(CASE WHEN other.score IS NOT NULL AND this.score IS NULL THEN 1 END) AS other_only FROM (SELECT n, score FROM "grades.accuracy") AS this JOIN (SELECT n, score FROM "grades.human") AS other ON other.n = this.n;

-- counts: kappa
SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows, CASE WHEN SUM(rows) >= 3 AND SUM(rows) * SUM(rows * (x * x + y * y)) - 2 * SUM(rows * x) * SUM(rows * y) > 0 THEN ROUND(CAST(2 * (SUM(rows) * SUM(rows * x * y) - SUM(rows * x) * SUM(rows * y)) AS DOUBLE) / CAST(SUM(rows) * SUM(rows * (x * x + y * y)) - 2 * SUM(rows * x) * SUM(rows * y) AS DOUBLE), 6) END AS kappa FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT CAST(ROUND((this.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS x, CAST(ROUND((other.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS y FROM (SELECT n, score FROM "grades.accuracy") AS this JOIN (SELECT n, score FROM "grades.human") AS other ON other.n = this.n WHERE this.score IS NOT NULL AND other.score IS NOT NULL) AS found GROUP BY x, y) AS pairs;

-- counts: confusion
SELECT ROUND(CAST(0.0 AS DOUBLE) + x * CAST(0.5 AS DOUBLE), 6) AS score, ROUND(CAST(0.0 AS DOUBLE) + y * CAST(0.5 AS DOUBLE), 6) AS other, rows FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT CAST(ROUND((this.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS x, CAST(ROUND((other.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS y FROM (SELECT n, score FROM "grades.accuracy") AS this JOIN (SELECT n, score FROM "grades.human") AS other ON other.n = this.n WHERE this.score IS NOT NULL AND other.score IS NOT NULL) AS found GROUP BY x, y) AS pairs ORDER BY x, y;

-- assessing.careful

-- counts: length
SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows, CASE WHEN SUM(rows) >= 3 AND SUM(rows * rank_x * rank_x) > 0 AND SUM(rows * rank_y * rank_y) > 0 THEN ROUND(CAST(SUM(rows * rank_x * rank_y) AS DOUBLE) / (SQRT(CAST(SUM(rows * rank_x * rank_x) AS DOUBLE)) * SQRT(CAST(SUM(rows * rank_y * rank_y) AS DOUBLE))), 6) END AS spearman FROM (SELECT rows, SUM(rows) OVER (ORDER BY x) - SUM(rows) OVER (ORDER BY x DESC) AS rank_x, SUM(rows) OVER (ORDER BY y) - SUM(rows) OVER (ORDER BY y DESC) AS rank_y FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT grades.score AS x, LENGTH(rows.response) AS y FROM "grades.careful" AS grades JOIN rows ON rows.n = grades.n WHERE grades.score IS NOT NULL AND rows.response IS NOT NULL) AS found GROUP BY x, y) AS pairs) AS ranked;

-- counts: template_tokens
SELECT COUNT(*) AS rows FROM rows WHERE REGEXP_MATCHES(CONCAT(instruction, ' ', input, ' ', response), '<\|[A-Za-z0-9_-]{2,40}\|>|<｜[^｜<>\n]{2,40}｜>|<(start|end)_of_turn>|</?s>|<[be]os>|\[/?(INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]|<</?SYS>>');

-- counts: agreement
SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows, CASE WHEN SUM(rows) >= 3 AND SUM(rows * rank_x * rank_x) > 0 AND SUM(rows * rank_y * rank_y) > 0 THEN ROUND(CAST(SUM(rows * rank_x * rank_y) AS DOUBLE) / (SQRT(CAST(SUM(rows * rank_x * rank_x) AS DOUBLE)) * SQRT(CAST(SUM(rows * rank_y * rank_y) AS DOUBLE))), 6) END AS spearman FROM (SELECT rows, SUM(rows) OVER (ORDER BY x) - SUM(rows) OVER (ORDER BY x DESC) AS rank_x, SUM(rows) OVER (ORDER BY y) - SUM(rows) OVER (ORDER BY y DESC) AS rank_y FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT this.score AS x, other.score AS y FROM (SELECT n, score FROM "grades.careful") AS this JOIN (SELECT n, score FROM "grades.accuracy" WHERE (score IS NULL OR score BETWEEN CAST(4.0 AS DOUBLE) AND CAST(5.0 AS DOUBLE))) AS other ON other.n = this.n WHERE this.score IS NOT NULL AND other.score IS NOT NULL) AS found GROUP BY x, y) AS pairs) AS ranked;

-- counts: one_scored
SELECT COUNT(CASE WHEN this.score IS NOT NULL AND other.score IS NULL THEN 1 END) AS this_only, COUNT(CASE WHEN other.score IS NOT NULL AND this.score IS NULL THEN 1 END) AS other_only FROM (SELECT n, score FROM "grades.careful") AS this JOIN (SELECT n, score FROM "grades.accuracy" WHERE (score IS NULL OR score BETWEEN CAST(4.0 AS DOUBLE) AND CAST(5.0 AS DOUBLE))) AS other ON other.n = this.n;

-- counts: kappa
SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) AS rows, CASE WHEN SUM(rows) >= 3 AND SUM(rows) * SUM(rows * (x * x + y * y)) - 2 * SUM(rows * x) * SUM(rows * y) > 0 THEN ROUND(CAST(2 * (SUM(rows) * SUM(rows * x * y) - SUM(rows * x) * SUM(rows * y)) AS DOUBLE) / CAST(SUM(rows) * SUM(rows * (x * x + y * y)) - 2 * SUM(rows * x) * SUM(rows * y) AS DOUBLE), 6) END AS kappa FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT CAST(ROUND((this.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS x, CAST(ROUND((other.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS y FROM (SELECT n, score FROM "grades.careful") AS this JOIN (SELECT n, score FROM "grades.accuracy" WHERE (score IS NULL OR score BETWEEN CAST(4.0 AS DOUBLE) AND CAST(5.0 AS DOUBLE))) AS other ON other.n = this.n WHERE this.score IS NOT NULL AND other.score IS NOT NULL) AS found GROUP BY x, y) AS pairs;

-- counts: confusion
SELECT ROUND(CAST(0.0 AS DOUBLE) + x * CAST(0.5 AS DOUBLE), 6) AS score, ROUND(CAST(0.0 AS DOUBLE) + y * CAST(0.5 AS DOUBLE), 6) AS other, rows FROM (SELECT x, y, COUNT(*) AS rows FROM (SELECT CAST(ROUND((this.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS x, CAST(ROUND((other.score - CAST(0.0 AS DOUBLE)) / CAST(0.5 AS DOUBLE)) AS BIGINT) AS y FROM (SELECT n, score FROM "grades.careful") AS this JOIN (SELECT n, score FROM "grades.accuracy" WHERE (score IS NULL OR score BETWEEN CAST(4.0 AS DOUBLE) AND CAST(5.0 AS DOUBLE))) AS other ON other.n = this.n WHERE this.score IS NOT NULL AND other.score IS NOT NULL) AS found GROUP BY x, y) AS pairs ORDER BY x, y;

-- counts: spared
SELECT COUNT(*) AS rows FROM "grades.accuracy" WHERE NOT (score IS NULL OR score BETWEEN CAST(4.0 AS DOUBLE) AND CAST(5.0 AS DOUBLE)) AND TRUE;

-- selecting.quality

CREATE OR REPLACE TABLE "fates.quality" AS
SELECT 'quality' AS dataset, pool.n AS n, pool.id AS id, pool.fate AS fate, pool.reasons AS reasons
FROM (SELECT g0.n AS n, g0.id AS id, g0.score AS score0, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' WHEN g0.score IS NULL THEN 'unscored' WHEN g0.score < CAST(4.5 AS DOUBLE) THEN 'below_threshold' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CASE WHEN g0.score IS NULL THEN [CONCAT('careful unscored: ', g0.reason)] WHEN g0.score < CAST(4.5 AS DOUBLE) THEN ['careful below 4.5'] ELSE CAST([] AS VARCHAR[]) END ELSE LIST_CONCAT(dropped.reasons, CASE WHEN g0.score IS NULL THEN [CONCAT('careful unscored: ', g0.reason)] WHEN g0.score < CAST(4.5 AS DOUBLE) THEN ['careful below 4.5'] ELSE CAST([] AS VARCHAR[]) END) END AS reasons
FROM "grades.careful" AS g0 LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped ON dropped.n = g0.n) AS pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.quality" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.quality" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.quality" AS fates GROUP BY fates.fate ORDER BY fates.fate;

-- counts: scores
SELECT score, COUNT(*) AS rows FROM (SELECT n, score AS score FROM "grades.careful" WHERE score IS NOT NULL AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped)) AS graded GROUP BY score ORDER BY score;

-- counts: near
SELECT rows.id AS id, grades.score AS score, fates.fate AS fate, fates.reasons AS reasons, [] AS categories, LEFT(instruction, 1200) AS instruction, LEFT(input, 1200) AS input, LEFT(response, 1200) AS response, LEFT(grades.reply, 1200) AS reply FROM ((SELECT n FROM "grades.careful" AS grades WHERE score >= CAST(4.5 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score, id LIMIT 50) UNION ALL (SELECT n FROM "grades.careful" AS grades WHERE score < CAST(4.5 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score DESC, id LIMIT 50)) AS chosen JOIN rows USING (n) JOIN "grades.careful" AS grades USING (n) JOIN "fates.quality" AS fates USING (n) ORDER BY score, id;
