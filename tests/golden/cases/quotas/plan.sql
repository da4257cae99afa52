-- Every statement of this run, in order. Paste it into duckdb: each result becomes a table of that database.
-- Scores that came from a model or a file are read from tables/ beside this file.

-- loading

CREATE OR REPLACE TABLE "unreadable" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS reason, '' AS text WHERE FALSE;

CREATE OR REPLACE TABLE "places" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS place WHERE FALSE;

CREATE OR REPLACE TABLE "scanned.source" AS
SELECT ROW_NUMBER() OVER () AS position, "instruction", "input", "output", "accuracy", "key" FROM read_json(['/project/rows.jsonl'], format = 'newline_delimited', records = true, compression = 'none', columns = {'instruction': 'JSON', 'input': 'JSON', 'output': 'JSON', 'accuracy': 'JSON', 'key': 'JSON'}, hive_partitioning = false);

CREATE OR REPLACE TABLE "loaded" AS
SELECT LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN MD5(CONCAT(MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))), instruction IS NULL, response IS NULL)) ELSE MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))) END, 16) AS id, n, source, instruction, input, response, "source.accuracy", "source.key"
FROM (SELECT 0 + position AS n, 'source' AS source, ("instruction" ->> '$') AS instruction, ("input" ->> '$') AS input, ("output" ->> '$') AS response, TRY_CAST(("accuracy" ->> '$') AS DOUBLE) AS "source.accuracy", ("key" ->> '$') AS "source.key" FROM "scanned.source" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END IS NULL) AS loaded;

CREATE OR REPLACE TABLE "rows" AS
WITH copies AS (
  SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY "source.accuracy", "source.key", source, n) AS ordinal FROM loaded
  WHERE id IN (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1)
)
SELECT CASE WHEN ordinal > 1 THEN CONCAT(id, '-', ordinal) ELSE id END AS id, n, source, instruction, input, response, "source.accuracy", "source.key"
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
  + CASE WHEN CONTAINS(instruction, 'C++') OR CONTAINS(input, 'C++') OR CONTAINS(response, 'C++') THEN 4 ELSE 0 END AS BIGINT) AS hits FROM rows) AS marked WHERE hits <> 0
UNION ALL
SELECT 'even' AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows WHERE REGEXP_MATCHES(CONCAT_WS(CHR(10), instruction, input, response), '\([0-9]*[02468]\)')
UNION ALL
SELECT 'long' AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows WHERE LENGTH("response") > 30;

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

-- grading.helpful

CREATE OR REPLACE TABLE "grades.helpful" AS
SELECT n, id, score, reason, reply FROM read_parquet('tables/grades.parquet') WHERE grader = 'helpful';

-- selecting.quality

CREATE OR REPLACE TABLE "pool" AS
SELECT g0.n AS n, g0.id AS id, g0.score AS score0, g1.score AS score1, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' WHEN g0.score IS NULL OR g1.score IS NULL THEN 'unscored' WHEN g0.score < CAST(4.5 AS DOUBLE) OR g1.score < CAST(0.5 AS DOUBLE) THEN 'below_threshold' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN LIST_CONCAT(CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.5 AS DOUBLE) THEN ['accuracy below 4.5'] ELSE CAST([] AS VARCHAR[]) END, CASE WHEN g1.score IS NULL THEN [CONCAT('helpful unscored: ', g1.reason)] WHEN g1.score < CAST(0.5 AS DOUBLE) THEN ['helpful below 0.5'] ELSE CAST([] AS VARCHAR[]) END) ELSE LIST_CONCAT(dropped.reasons, LIST_CONCAT(CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.5 AS DOUBLE) THEN ['accuracy below 4.5'] ELSE CAST([] AS VARCHAR[]) END, CASE WHEN g1.score IS NULL THEN [CONCAT('helpful unscored: ', g1.reason)] WHEN g1.score < CAST(0.5 AS DOUBLE) THEN ['helpful below 0.5'] ELSE CAST([] AS VARCHAR[]) END)) END AS reasons
FROM "grades.accuracy" AS g0 JOIN "grades.helpful" AS g1 ON g1.n = g0.n LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped ON dropped.n = g0.n;

CREATE OR REPLACE TABLE "overall" AS
SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule') AS v, COUNT(*) FILTER (WHERE fate = 'kept') AS b FROM pool;

CREATE OR REPLACE TABLE "quota1" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'code')) AS v, COUNT(*) FILTER (WHERE fate = 'kept' AND n IN (SELECT n FROM "row_categories" WHERE category = 'code')) AS a, COUNT(*) FILTER (WHERE fate = 'kept') AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY score0 DESC, score1 DESC, MD5(CONCAT('7', id)) ASC, id ASC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'code') AND NOT (fate = 'kept') AND fate = 'below_threshold' AND score0 >= CAST(3.5 AS DOUBLE))
SELECT ranked.n AS n, 'added by quota: code min_keep_rate overall' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE (counts.a + r - 1) * overall.v < overall.b * counts.v;

CREATE OR REPLACE TABLE "quota2" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'even')) AS v, COUNT(*) FILTER (WHERE (fate = 'kept' OR n IN (SELECT n FROM quota1)) AND n IN (SELECT n FROM "row_categories" WHERE category = 'even')) AS a, COUNT(*) FILTER (WHERE (fate = 'kept' OR n IN (SELECT n FROM quota1))) AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY score0 DESC, score1 DESC, MD5(CONCAT('7', id)) ASC, id ASC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'even') AND NOT ((fate = 'kept' OR n IN (SELECT n FROM quota1))) AND fate = 'below_threshold' AND score0 >= CAST(0.5 AS DOUBLE) AND score1 >= CAST(0.5 AS DOUBLE))
SELECT ranked.n AS n, 'added by quota: even min_keep_rate 0.3' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE (counts.a + r - 1) * 10 < 3 * counts.v;

CREATE OR REPLACE TABLE "quota3" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'even')) AS v, COUNT(*) FILTER (WHERE ((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2)) AND n IN (SELECT n FROM "row_categories" WHERE category = 'even')) AS a, COUNT(*) FILTER (WHERE ((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2))) AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY score0 DESC, score1 DESC, MD5(CONCAT('7', id)) ASC, id ASC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'even') AND NOT (((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2))) AND fate = 'below_threshold' AND score0 >= CAST(0.5 AS DOUBLE) AND score1 >= CAST(0.5 AS DOUBLE))
SELECT ranked.n AS n, 'added by quota: even min_rows 8' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE counts.a + r - 1 < 8;

CREATE OR REPLACE TABLE "quota4" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'long')) AS v, COUNT(*) FILTER (WHERE (((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2)) OR n IN (SELECT n FROM quota3)) AND n IN (SELECT n FROM "row_categories" WHERE category = 'long')) AS a, COUNT(*) FILTER (WHERE (((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2)) OR n IN (SELECT n FROM quota3))) AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY score0 DESC, score1 DESC, MD5(CONCAT('7', id)) ASC, id ASC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'long') AND NOT ((((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2)) OR n IN (SELECT n FROM quota3))) AND fate = 'below_threshold')
SELECT ranked.n AS n, 'added by quota: long min_share 0.4' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE (counts.a + r - 1) * 5 < 2 * (counts.t + r - 1);

CREATE OR REPLACE TABLE "quota5" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'long')) AS v, COUNT(*) FILTER (WHERE ((((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2)) OR n IN (SELECT n FROM quota3)) OR n IN (SELECT n FROM quota4)) AND n IN (SELECT n FROM "row_categories" WHERE category = 'long')) AS a, COUNT(*) FILTER (WHERE ((((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2)) OR n IN (SELECT n FROM quota3)) OR n IN (SELECT n FROM quota4))) AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY score0 ASC NULLS FIRST, score1 ASC NULLS FIRST, MD5(CONCAT('7', id)) DESC, id DESC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'long') AND ((((fate = 'kept' OR n IN (SELECT n FROM quota1)) OR n IN (SELECT n FROM quota2)) OR n IN (SELECT n FROM quota3)) OR n IN (SELECT n FROM quota4)))
SELECT ranked.n AS n, 'removed by quota: long max_share 0.5' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE (counts.a - (r - 1)) * 2 > 1 * (counts.t - (r - 1));

CREATE OR REPLACE TABLE "fates.quality" AS
SELECT 'quality' AS dataset, pool.n AS n, pool.id AS id, CASE WHEN pool.n IN (SELECT n FROM quota5) THEN 'removed_by_quota' WHEN pool.n IN (SELECT n FROM quota4) THEN 'kept' WHEN pool.n IN (SELECT n FROM quota3) THEN 'kept' WHEN pool.n IN (SELECT n FROM quota2) THEN 'kept' WHEN pool.n IN (SELECT n FROM quota1) THEN 'kept' ELSE pool.fate END AS fate, CASE WHEN quotas.n IS NULL THEN pool.reasons ELSE LIST_CONCAT(pool.reasons, quotas.reasons) END AS reasons
FROM pool LEFT JOIN (SELECT n, LIST(reason ORDER BY reason) AS reasons FROM (SELECT n, 'added' AS did, reason FROM quota1
UNION ALL
SELECT n, 'added' AS did, reason FROM quota2
UNION ALL
SELECT n, 'added' AS did, reason FROM quota3
UNION ALL
SELECT n, 'added' AS did, reason FROM quota4
UNION ALL
SELECT n, 'removed' AS did, reason FROM quota5) AS changed GROUP BY n) AS quotas ON quotas.n = pool.n
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.quality" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.quality" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.quality" AS fates JOIN pool USING (n) GROUP BY fates.fate ORDER BY fates.fate;

-- counts: category_fates
SELECT category, fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.quality" AS fates JOIN pool USING (n) JOIN "row_categories" USING (n) GROUP BY category, fates.fate ORDER BY category, fates.fate;

-- selecting.capped

CREATE OR REPLACE TABLE "pool" AS
SELECT g0.n AS n, g0.id AS id, g0.score AS score0, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' WHEN g0.score IS NULL THEN 'unscored' WHEN g0.score < CAST(4.0 AS DOUBLE) THEN 'below_threshold' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.0 AS DOUBLE) THEN ['accuracy below 4'] ELSE CAST([] AS VARCHAR[]) END ELSE LIST_CONCAT(dropped.reasons, CASE WHEN g0.score IS NULL THEN [CONCAT('accuracy unscored: ', g0.reason)] WHEN g0.score < CAST(4.0 AS DOUBLE) THEN ['accuracy below 4'] ELSE CAST([] AS VARCHAR[]) END) END AS reasons
FROM "grades.accuracy" AS g0 LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped ON dropped.n = g0.n;

CREATE OR REPLACE TABLE "overall" AS
SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule') AS v, COUNT(*) FILTER (WHERE fate = 'kept') AS b FROM pool;

CREATE OR REPLACE TABLE "quota1" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'code')) AS v, COUNT(*) FILTER (WHERE fate = 'kept' AND n IN (SELECT n FROM "row_categories" WHERE category = 'code')) AS a, COUNT(*) FILTER (WHERE fate = 'kept') AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY score0 ASC NULLS FIRST, MD5(CONCAT('7', id)) DESC, id DESC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'code') AND fate = 'kept')
SELECT ranked.n AS n, 'removed by quota: code max_rows 3' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE counts.a - (r - 1) > 3;

CREATE OR REPLACE TABLE "quota2" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'long')) AS v, COUNT(*) FILTER (WHERE (fate = 'kept' AND n NOT IN (SELECT n FROM quota1)) AND n IN (SELECT n FROM "row_categories" WHERE category = 'long')) AS a, COUNT(*) FILTER (WHERE (fate = 'kept' AND n NOT IN (SELECT n FROM quota1))) AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY score0 DESC, MD5(CONCAT('7', id)) ASC, id ASC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'long') AND NOT ((fate = 'kept' AND n NOT IN (SELECT n FROM quota1))) AND fate = 'below_threshold' AND n NOT IN (SELECT n FROM quota1))
SELECT ranked.n AS n, 'added by quota: long min_rows 30' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE counts.a + r - 1 < 30;

CREATE OR REPLACE TABLE "fates.capped" AS
SELECT 'capped' AS dataset, pool.n AS n, pool.id AS id, CASE WHEN pool.n IN (SELECT n FROM quota2) THEN 'kept' WHEN pool.n IN (SELECT n FROM quota1) THEN 'removed_by_quota' ELSE pool.fate END AS fate, CASE WHEN quotas.n IS NULL THEN pool.reasons ELSE LIST_CONCAT(pool.reasons, quotas.reasons) END AS reasons
FROM pool LEFT JOIN (SELECT n, LIST(reason ORDER BY reason) AS reasons FROM (SELECT n, 'removed' AS did, reason FROM quota1
UNION ALL
SELECT n, 'added' AS did, reason FROM quota2) AS changed GROUP BY n) AS quotas ON quotas.n = pool.n
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.capped" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.capped" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.capped" AS fates JOIN pool USING (n) GROUP BY fates.fate ORDER BY fates.fate;

-- counts: scores
SELECT score, COUNT(*) AS rows FROM (SELECT n, score AS score FROM "grades.accuracy" WHERE score IS NOT NULL AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped)) AS graded GROUP BY score ORDER BY score;

-- counts: category_scores
SELECT category, score, COUNT(*) AS rows FROM (SELECT n, score AS score FROM "grades.accuracy" WHERE score IS NOT NULL AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped)) AS graded JOIN "row_categories" USING (n) GROUP BY category, score ORDER BY category, score;

-- counts: near
SELECT rows.id AS id, grades.score AS score, fates.fate AS fate, fates.reasons AS reasons, (SELECT LIST(DISTINCT category ORDER BY category) FROM "row_categories" WHERE "row_categories".n = rows.n) AS categories, LEFT(instruction, 1200) AS instruction, LEFT(input, 1200) AS input, LEFT(response, 1200) AS response, LEFT(grades.reply, 1200) AS reply FROM ((SELECT n FROM "grades.accuracy" AS grades WHERE score >= CAST(4.0 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score, id LIMIT 50) UNION ALL (SELECT n FROM "grades.accuracy" AS grades WHERE score < CAST(4.0 AS DOUBLE) AND n % 1000000000000 <= 200000 AND n NOT IN (SELECT n FROM (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete") AS taken_out GROUP BY n) AS dropped) ORDER BY score DESC, id LIMIT 50)) AS chosen JOIN rows USING (n) JOIN "grades.accuracy" AS grades USING (n) JOIN "fates.capped" AS fates USING (n) ORDER BY score, id;

-- counts: category_fates
SELECT category, fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.capped" AS fates JOIN pool USING (n) JOIN "row_categories" USING (n) GROUP BY category, fates.fate ORDER BY category, fates.fate;
