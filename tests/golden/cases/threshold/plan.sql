-- Every statement of this run, in order. Paste it into duckdb: each result becomes a table of that database.
-- Scores that came from a model or a file are read from tables/ beside this file.

-- loading

CREATE OR REPLACE TABLE "unreadable" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS reason, '' AS text WHERE FALSE;

CREATE OR REPLACE TABLE "places" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS place WHERE FALSE;

CREATE OR REPLACE TABLE "scanned.source" AS
SELECT ROW_NUMBER() OVER () AS position, "instruction", "input", "output", "accuracy" FROM read_json(['/project/rows.jsonl'], format = 'newline_delimited', records = true, compression = 'none', columns = {'instruction': 'JSON', 'input': 'JSON', 'output': 'JSON', 'accuracy': 'JSON'}, hive_partitioning = false);

CREATE OR REPLACE TABLE "loaded" AS
SELECT LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN MD5(CONCAT(MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))), instruction IS NULL, response IS NULL)) ELSE MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))) END, 16) AS id, n, source, instruction, input, response, "source.accuracy"
FROM (SELECT 0 + position AS n, 'source' AS source, ("instruction" ->> '$') AS instruction, ("input" ->> '$') AS input, ("output" ->> '$') AS response, TRY_CAST(("accuracy" ->> '$') AS DOUBLE) AS "source.accuracy" FROM "scanned.source" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END IS NULL) AS loaded;

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
SELECT 'source' AS source, position, CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END AS reason, LEFT(CONCAT_WS(' | ', CAST("instruction" AS VARCHAR), CAST("input" AS VARCHAR), CAST("output" AS VARCHAR)), 200) AS text FROM "scanned.source" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END IS NOT NULL) AS refused LEFT JOIN "places" AS places USING (source, position) ORDER BY source, position;

-- counts: source_rows
SELECT source, COUNT(*) AS rows FROM rows GROUP BY source ORDER BY source;

-- counts: quarantined
SELECT source, COUNT(*) AS rows FROM quarantine GROUP BY source ORDER BY source;

-- counts: incomplete
SELECT reason, COUNT(*) AS rows FROM incomplete GROUP BY reason ORDER BY reason;

-- counts: quarantine_examples
SELECT * FROM (SELECT source, position, reason FROM quarantine ORDER BY ROW_NUMBER() OVER (PARTITION BY source ORDER BY position), source LIMIT 20) AS examples ORDER BY source, position;

-- categorising

CREATE OR REPLACE TABLE "row_categories" AS
SELECT 'code' AS category, n, id, hits FROM (SELECT n, id, CAST(CASE WHEN CONTAINS(instruction, 'Python') OR CONTAINS(input, 'Python') OR CONTAINS(response, 'Python') THEN 1 ELSE 0 END
  + CASE WHEN CONTAINS(instruction, 'Java') OR CONTAINS(input, 'Java') OR CONTAINS(response, 'Java') THEN 2 ELSE 0 END
  + CASE WHEN CONTAINS(instruction, 'C++') OR CONTAINS(input, 'C++') OR CONTAINS(response, 'C++') THEN 4 ELSE 0 END AS BIGINT) AS hits FROM rows) AS marked WHERE hits <> 0;

-- counts: category_rows
SELECT category, COUNT(*) AS rows FROM "row_categories" GROUP BY category ORDER BY category;

-- counts: keywords
SELECT 'code' AS category, 0 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'code' AND (hits & 1) <> 0
UNION ALL
SELECT 'code' AS category, 1 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'code' AND (hits & 2) <> 0
UNION ALL
SELECT 'code' AS category, 2 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'code' AND (hits & 4) <> 0
ORDER BY category, keyword;

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
FROM (SELECT g0.n AS n, g0.id AS id, g0.score AS score0, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' WHEN g0.score IS NULL THEN 'unscored' WHEN g0.score < CAST(4.5 AS DOUBLE) THEN 'below_threshold' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.5 AS DOUBLE) THEN ['accuracy below 4.5'] ELSE CAST([] AS VARCHAR[]) END ELSE LIST_CONCAT(dropped.reasons, CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.5 AS DOUBLE) THEN ['accuracy below 4.5'] ELSE CAST([] AS VARCHAR[]) END) END AS reasons
FROM "grades.accuracy" AS g0 LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped ON dropped.n = g0.n) AS pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.quality" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.quality" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.quality" AS fates GROUP BY fates.fate ORDER BY fates.fate;

-- counts: scores
SELECT score, COUNT(*) AS rows FROM (SELECT n, score AS score FROM "grades.accuracy" WHERE score IS NOT NULL AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped)) AS graded GROUP BY score ORDER BY score;

-- counts: category_scores
SELECT category, score, COUNT(*) AS rows FROM (SELECT n, score AS score FROM "grades.accuracy" WHERE score IS NOT NULL AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped)) AS graded JOIN "row_categories" USING (n) GROUP BY category, score ORDER BY category, score;

-- counts: near
SELECT rows.id AS id, grades.score AS score, fates.fate AS fate, fates.reasons AS reasons, (SELECT LIST(DISTINCT category ORDER BY category) FROM "row_categories" WHERE "row_categories".n = rows.n) AS categories, LEFT(instruction, 1200) AS instruction, LEFT(input, 1200) AS input, LEFT(response, 1200) AS response, LEFT(grades.reply, 1200) AS reply FROM ((SELECT n FROM "grades.accuracy" AS grades WHERE score >= CAST(4.5 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score, id LIMIT 50) UNION ALL (SELECT n FROM "grades.accuracy" AS grades WHERE score < CAST(4.5 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score DESC, id LIMIT 50)) AS chosen JOIN rows USING (n) JOIN "grades.accuracy" AS grades USING (n) JOIN "fates.quality" AS fates USING (n) ORDER BY score, id;

-- counts: category_fates
SELECT category, fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.quality" AS fates JOIN "row_categories" USING (n) GROUP BY category, fates.fate ORDER BY category, fates.fate;

-- selecting.full

CREATE OR REPLACE TABLE "fates.full" AS
SELECT 'full' AS dataset, pool.n AS n, pool.id AS id, pool.fate AS fate, pool.reasons AS reasons
FROM (SELECT base.n AS n, base.id AS id, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CAST([] AS VARCHAR[]) ELSE LIST_CONCAT(dropped.reasons, CAST([] AS VARCHAR[])) END AS reasons
FROM rows AS base LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped ON dropped.n = base.n) AS pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.full" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.full" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.full" AS fates GROUP BY fates.fate ORDER BY fates.fate;

-- counts: category_fates
SELECT category, fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.full" AS fates JOIN "row_categories" USING (n) GROUP BY category, fates.fate ORDER BY category, fates.fate;
