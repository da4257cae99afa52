-- Every statement of this run, in order. Paste it into duckdb: each result becomes a table of that database.
-- Scores that came from a model or a file are read from tables/ beside this file.

-- loading

CREATE OR REPLACE TABLE "unreadable" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS reason, '' AS text WHERE FALSE;

CREATE OR REPLACE TABLE "places" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS place WHERE FALSE;

CREATE OR REPLACE TABLE "scanned.main" AS
SELECT ROW_NUMBER() OVER () AS position, "instruction", "input", "output", "accuracy" FROM read_json(['/project/rows.jsonl'], format = 'newline_delimited', records = true, compression = 'none', columns = {'instruction': 'JSON', 'input': 'JSON', 'output': 'JSON', 'accuracy': 'JSON'}, hive_partitioning = false);

CREATE OR REPLACE TABLE "loaded" AS
SELECT LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN MD5(CONCAT(MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))), instruction IS NULL, response IS NULL)) ELSE MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))) END, 16) AS id, n, source, instruction, input, response, "source.accuracy"
FROM (SELECT 0 + position AS n, 'main' AS source, ("instruction" ->> '$') AS instruction, ("input" ->> '$') AS input, ("output" ->> '$') AS response, TRY_CAST(("accuracy" ->> '$') AS DOUBLE) AS "source.accuracy" FROM "scanned.main" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END IS NULL) AS loaded;

CREATE OR REPLACE TABLE "rows" AS
WITH copies AS (
  SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY "source.accuracy", source, n) AS ordinal FROM loaded
  WHERE id IN (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1)
)
SELECT CASE WHEN ordinal > 1 THEN CONCAT(id, '-', ordinal) ELSE id END AS id, n, source, instruction, input, response, "source.accuracy"
FROM loaded LEFT JOIN copies USING (n);

CREATE OR REPLACE TABLE "incomplete" AS
SELECT n, 'instruction is null' AS reason FROM rows WHERE instruction IS NULL
UNION ALL
SELECT n, 'response is null' AS reason FROM rows WHERE response IS NULL;

CREATE OR REPLACE TABLE "quarantine" AS
SELECT source, position, CONCAT(place || ': ', reason) AS reason, text FROM (SELECT source, position, reason, text FROM "unreadable"
UNION ALL
SELECT 'main' AS source, position, CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END AS reason, LEFT(CONCAT_WS(' | ', CAST("instruction" AS VARCHAR), CAST("input" AS VARCHAR), CAST("output" AS VARCHAR)), 200) AS text FROM "scanned.main" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END IS NOT NULL) AS refused LEFT JOIN "places" AS places USING (source, position) ORDER BY source, position;

-- counts: source_rows
SELECT source, COUNT(*) AS rows FROM rows GROUP BY source ORDER BY source;

-- counts: quarantined
SELECT source, COUNT(*) AS rows FROM quarantine GROUP BY source ORDER BY source;

-- counts: incomplete
SELECT reason, COUNT(*) AS rows FROM incomplete GROUP BY reason ORDER BY reason;

-- counts: quarantine_examples
SELECT * FROM (SELECT source, position, reason FROM quarantine ORDER BY ROW_NUMBER() OVER (PARTITION BY source ORDER BY position), source LIMIT 20) AS examples ORDER BY source, position;

-- grading.accuracy

CREATE OR REPLACE TABLE "grades.accuracy" AS
SELECT 'accuracy' AS grader, n, id, CASE WHEN found BETWEEN CAST(0.0 AS DOUBLE) AND CAST(5.0 AS DOUBLE) THEN found END AS score,
  CASE WHEN empty THEN 'no score in the column' WHEN found IS NULL OR ISNAN(found) THEN other WHEN NOT (found BETWEEN CAST(0.0 AS DOUBLE) AND CAST(5.0 AS DOUBLE)) THEN 'out of scale' END AS reason, CAST(NULL AS VARCHAR) AS reply
FROM (SELECT rows.n AS n, rows.id AS id, "source.accuracy" IS NULL OR CAST("source.accuracy" AS VARCHAR) = '' AS empty, TRY_CAST("source.accuracy" AS DOUBLE) AS found, CONCAT('not a number: ', LEFT(CAST("source.accuracy" AS VARCHAR), 40)) AS other FROM rows) AS graded;

-- counts: scores
SELECT score, COUNT(*) AS rows FROM (SELECT score AS score FROM "grades.accuracy" WHERE score IS NOT NULL) AS scored GROUP BY score ORDER BY score;

-- counts: reasons
SELECT reason, COUNT(*) AS rows FROM (SELECT CASE WHEN STARTS_WITH(reason, 'not a number: ') AND DENSE_RANK() OVER (PARTITION BY STARTS_WITH(reason, 'not a number: ') ORDER BY reason) > 20 THEN 'not a number' ELSE reason END AS reason FROM "grades.accuracy" WHERE score IS NULL) AS unscored GROUP BY reason ORDER BY reason;

-- selecting.quality

CREATE OR REPLACE TABLE "fates.quality" AS
SELECT 'quality' AS dataset, pool.n AS n, pool.id AS id, pool.fate AS fate, pool.reasons AS reasons
FROM (SELECT g0.n AS n, g0.id AS id, g0.score AS score0, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' WHEN g0.score IS NULL THEN 'unscored' WHEN g0.score < CAST(4.0 AS DOUBLE) THEN 'below_threshold' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.0 AS DOUBLE) THEN ['accuracy below 4'] ELSE CAST([] AS VARCHAR[]) END ELSE LIST_CONCAT(dropped.reasons, CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.0 AS DOUBLE) THEN ['accuracy below 4'] ELSE CAST([] AS VARCHAR[]) END) END AS reasons
FROM "grades.accuracy" AS g0 LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped ON dropped.n = g0.n) AS pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.quality" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.quality" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.quality" AS fates GROUP BY fates.fate ORDER BY fates.fate;

-- counts: scores
SELECT score, COUNT(*) AS rows FROM (SELECT n, score AS score FROM "grades.accuracy" WHERE score IS NOT NULL AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped)) AS graded GROUP BY score ORDER BY score;

-- counts: near
SELECT rows.id AS id, grades.score AS score, fates.fate AS fate, fates.reasons AS reasons, [] AS categories, LEFT(instruction, 1200) AS instruction, LEFT(input, 1200) AS input, LEFT(response, 1200) AS response, LEFT(grades.reply, 1200) AS reply FROM ((SELECT n FROM "grades.accuracy" AS grades WHERE score >= CAST(4.0 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score, id LIMIT 50) UNION ALL (SELECT n FROM "grades.accuracy" AS grades WHERE score < CAST(4.0 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score DESC, id LIMIT 50)) AS chosen JOIN rows USING (n) JOIN "grades.accuracy" AS grades USING (n) JOIN "fates.quality" AS fates USING (n) ORDER BY score, id;

-- selecting.random

CREATE OR REPLACE TABLE "pool" AS
SELECT base.n AS n, base.id AS id, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CAST([] AS VARCHAR[]) ELSE LIST_CONCAT(dropped.reasons, CAST([] AS VARCHAR[])) END AS reasons
FROM rows AS base LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped ON dropped.n = base.n;

CREATE OR REPLACE TABLE "unsampled" AS
SELECT n FROM (SELECT n, ROW_NUMBER() OVER (ORDER BY MD5(CONCAT('42', id)) ASC, id ASC) AS r FROM pool WHERE fate = 'kept') AS ranked WHERE r > (SELECT COUNT(*) FROM "fates.quality" WHERE fate = 'kept');

CREATE OR REPLACE TABLE "fates.random" AS
SELECT 'random' AS dataset, pool.n AS n, pool.id AS id, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN 'not_sampled' ELSE pool.fate END AS fate, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN LIST_APPEND(pool.reasons, 'not sampled') ELSE pool.reasons END AS reasons
FROM pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.random" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.random" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.random" AS fates JOIN pool USING (n) GROUP BY fates.fate ORDER BY fates.fate;

-- selecting.small

CREATE OR REPLACE TABLE "pool" AS
SELECT parent.n AS n, parent.id AS id, CASE WHEN parent.fate <> 'kept' THEN parent.fate ELSE 'kept' END AS fate, LIST_CONCAT(parent.reasons, CAST([] AS VARCHAR[])) AS reasons, parent.fate = 'kept' AS open
FROM "fates.quality" AS parent;

CREATE OR REPLACE TABLE "unsampled" AS
SELECT n FROM (SELECT n, ROW_NUMBER() OVER (ORDER BY MD5(CONCAT('42', id)) ASC, id ASC) AS r FROM pool WHERE fate = 'kept') AS ranked WHERE r > 5;

CREATE OR REPLACE TABLE "fates.small" AS
SELECT 'small' AS dataset, pool.n AS n, pool.id AS id, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN 'not_sampled' ELSE pool.fate END AS fate, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN LIST_APPEND(pool.reasons, 'not sampled') ELSE pool.reasons END AS reasons
FROM pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.small" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.small" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.small" AS fates JOIN pool USING (n) GROUP BY fates.fate ORDER BY fates.fate;

-- selecting.smaller

CREATE OR REPLACE TABLE "pool" AS
SELECT parent.n AS n, parent.id AS id, CASE WHEN parent.fate <> 'kept' THEN parent.fate ELSE 'kept' END AS fate, LIST_CONCAT(parent.reasons, CAST([] AS VARCHAR[])) AS reasons, parent.fate = 'kept' AS open
FROM "fates.small" AS parent;

CREATE OR REPLACE TABLE "unsampled" AS
SELECT n FROM (SELECT n, ROW_NUMBER() OVER (ORDER BY MD5(CONCAT('42', id)) ASC, id ASC) AS r FROM pool WHERE fate = 'kept') AS ranked WHERE r > 3;

CREATE OR REPLACE TABLE "fates.smaller" AS
SELECT 'smaller' AS dataset, pool.n AS n, pool.id AS id, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN 'not_sampled' ELSE pool.fate END AS fate, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN LIST_APPEND(pool.reasons, 'not sampled') ELSE pool.reasons END AS reasons
FROM pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.smaller" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.smaller" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.smaller" AS fates JOIN pool USING (n) GROUP BY fates.fate ORDER BY fates.fate;

-- selecting.better

CREATE OR REPLACE TABLE "fates.better" AS
SELECT 'better' AS dataset, pool.n AS n, pool.id AS id, pool.fate AS fate, pool.reasons AS reasons
FROM (SELECT parent.n AS n, parent.id AS id, g0.score AS score0, CASE WHEN parent.fate <> 'kept' THEN parent.fate WHEN g0.score IS NULL THEN 'unscored' WHEN g0.score < CAST(4.5 AS DOUBLE) THEN 'below_threshold' ELSE 'kept' END AS fate, LIST_CONCAT(parent.reasons, CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.5 AS DOUBLE) THEN ['accuracy below 4.5'] ELSE CAST([] AS VARCHAR[]) END) AS reasons, parent.fate = 'kept' AS open
FROM "fates.quality" AS parent JOIN "grades.accuracy" AS g0 ON g0.n = parent.n) AS pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.better" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.better" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.better" AS fates GROUP BY fates.fate ORDER BY fates.fate;

-- selecting.too-many

CREATE OR REPLACE TABLE "pool" AS
SELECT parent.n AS n, parent.id AS id, CASE WHEN parent.fate <> 'kept' THEN parent.fate ELSE 'kept' END AS fate, LIST_CONCAT(parent.reasons, CAST([] AS VARCHAR[])) AS reasons, parent.fate = 'kept' AS open
FROM "fates.small" AS parent;

CREATE OR REPLACE TABLE "unsampled" AS
SELECT n FROM (SELECT n, ROW_NUMBER() OVER (ORDER BY MD5(CONCAT('0', id)) ASC, id ASC) AS r FROM pool WHERE fate = 'kept') AS ranked WHERE r > 9;

CREATE OR REPLACE TABLE "fates.too-many" AS
SELECT 'too-many' AS dataset, pool.n AS n, pool.id AS id, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN 'not_sampled' ELSE pool.fate END AS fate, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN LIST_APPEND(pool.reasons, 'not sampled') ELSE pool.reasons END AS reasons
FROM pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.too-many" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.too-many" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.too-many" AS fates JOIN pool USING (n) GROUP BY fates.fate ORDER BY fates.fate;
