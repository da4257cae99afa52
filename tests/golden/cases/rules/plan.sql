-- Every statement of this run, in order. Paste it into duckdb: each result becomes a table of that database.
-- Scores that came from a model or a file are read from tables/ beside this file.

-- loading

CREATE OR REPLACE TABLE "unreadable" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS reason, '' AS text WHERE FALSE;

CREATE OR REPLACE TABLE "places" AS
SELECT '' AS source, CAST(0 AS BIGINT) AS position, '' AS place WHERE FALSE;

CREATE OR REPLACE TABLE "scanned.source" AS
SELECT ROW_NUMBER() OVER () AS position, "instruction", "input", "output", "accuracy", "key", "licence", "topic" FROM read_json(['/project/rows.jsonl'], format = 'newline_delimited', records = true, compression = 'none', columns = {'instruction': 'JSON', 'input': 'JSON', 'output': 'JSON', 'accuracy': 'JSON', 'key': 'JSON', 'licence': 'JSON', 'topic': 'JSON'}, hive_partitioning = false);

CREATE OR REPLACE TABLE "loaded" AS
SELECT LEFT(CASE WHEN instruction IS NULL OR response IS NULL THEN MD5(CONCAT(MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))), instruction IS NULL, response IS NULL)) ELSE MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''), LENGTH(COALESCE(response, '')), ':', COALESCE(response, ''))) END, 16) AS id, n, source, instruction, input, response, "source.accuracy", "source.key", "source.licence", "source.topic"
FROM (SELECT 0 + position AS n, 'source' AS source, ("instruction" ->> '$') AS instruction, ("input" ->> '$') AS input, ("output" ->> '$') AS response, TRY_CAST(("accuracy" ->> '$') AS DOUBLE) AS "source.accuracy", ("key" ->> '$') AS "source.key", ("licence" ->> '$') AS "source.licence", ("topic" ->> '$') AS "source.topic" FROM "scanned.source" WHERE CASE WHEN COALESCE(STRLEN(CAST("instruction" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("input" AS VARCHAR)), 0) + COALESCE(STRLEN(CAST("output" AS VARCHAR)), 0) <= 16777216 AND COALESCE(STARTS_WITH(CAST("instruction" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("input" AS VARCHAR), '"'), TRUE) AND COALESCE(STARTS_WITH(CAST("output" AS VARCHAR), '"'), TRUE) AND NOT (("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL) THEN NULL WHEN JSON_TYPE("instruction") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('instruction: ', CASE JSON_TYPE("instruction") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("input") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('input: ', CASE JSON_TYPE("input") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN JSON_TYPE("output") NOT IN ('VARCHAR', 'NULL') THEN CONCAT('output: ', CASE JSON_TYPE("output") WHEN 'OBJECT' THEN 'an object' WHEN 'ARRAY' THEN 'a list' WHEN 'BOOLEAN' THEN 'true or false' ELSE 'a number' END, ' where a text should be') WHEN COALESCE(LENGTH(("instruction" ->> '$')), 0) + COALESCE(LENGTH(("input" ->> '$')), 0) + COALESCE(LENGTH(("output" ->> '$')), 0) > 16777216 THEN 'more than 16 million characters' WHEN ("accuracy" ->> '$') IS NOT NULL AND TRY_CAST(("accuracy" ->> '$') AS DOUBLE) IS NULL THEN 'accuracy: not a number' END IS NULL) AS loaded;

CREATE OR REPLACE TABLE "rows" AS
WITH copies AS (
  SELECT n, ROW_NUMBER() OVER (PARTITION BY id ORDER BY "source.accuracy", "source.key", "source.licence", "source.topic", source, n) AS ordinal FROM loaded
  WHERE id IN (SELECT id FROM loaded GROUP BY id HAVING COUNT(*) > 1)
)
SELECT CASE WHEN ordinal > 1 THEN CONCAT(id, '-', ordinal) ELSE id END AS id, n, source, instruction, input, response, "source.accuracy", "source.key", "source.licence", "source.topic"
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

-- checking

CREATE OR REPLACE TABLE "failures" AS
WITH group1 AS (SELECT n FROM rows WHERE "source.key" IN (SELECT "source.key" FROM rows WHERE "source.key" IS NOT NULL GROUP BY "source.key" HAVING COUNT(*) > 1)),
group18 AS (WITH keyed AS MATERIALIZED (SELECT n, id, MD5(CONCAT(LENGTH(TRIM(REGEXP_REPLACE(LOWER(NFC_NORMALIZE(COALESCE(instruction, ''))), '[^\p{L}\p{M}\p{N}\p{S}#@%&*\x{200c}\x{200d}]+', ' ', 'g'))), ':', TRIM(REGEXP_REPLACE(LOWER(NFC_NORMALIZE(COALESCE(instruction, ''))), '[^\p{L}\p{M}\p{N}\p{S}#@%&*\x{200c}\x{200d}]+', ' ', 'g')))) AS k FROM rows) SELECT n FROM keyed JOIN (SELECT k, MIN(id) AS first FROM keyed GROUP BY k HAVING COUNT(*) > 1) AS repeated USING (k) WHERE id <> first),
group19 AS (WITH keyed AS MATERIALIZED (SELECT n, MD5(CONCAT(LENGTH(COALESCE(instruction, '')), ':', COALESCE(instruction, ''), LENGTH(COALESCE(input, '')), ':', COALESCE(input, ''))) AS k, MD5(COALESCE(response, '')) AS said FROM rows) SELECT n FROM keyed WHERE k IN (SELECT k FROM keyed GROUP BY k HAVING MIN(said) <> MAX(said))),
marked AS (SELECT *, CASE WHEN "input" IS NULL THEN 1 ELSE 0 END
  + CASE WHEN n IN (SELECT n FROM group1) THEN 2 ELSE 0 END
  + CASE WHEN COALESCE(LENGTH(CAST("response" AS VARCHAR)) < 5 OR LENGTH(CAST("response" AS VARCHAR)) > 45, FALSE) THEN 4 ELSE 0 END
  + CASE WHEN COALESCE(NOT REGEXP_MATCHES(CAST("instruction" AS VARCHAR), '^(?:[A-Z])'), FALSE) THEN 8 ELSE 0 END
  + CASE WHEN COALESCE(NOT REGEXP_MATCHES(CAST("response" AS VARCHAR), 'nswer'), FALSE) THEN 16 ELSE 0 END
  + CASE WHEN COALESCE(REGEXP_MATCHES(CAST("response" AS VARCHAR), '(?i)\bas an AI\b'), FALSE) THEN 32 ELSE 0 END
  + CASE WHEN COALESCE(NOT STARTS_WITH(CAST("source.key" AS VARCHAR), 'k'), FALSE) THEN 64 ELSE 0 END
  + CASE WHEN COALESCE(NOT ENDS_WITH(CAST("source.key" AS VARCHAR), '1'), FALSE) THEN 128 ELSE 0 END
  + CASE WHEN COALESCE(TRY_CAST("source.accuracy" AS DOUBLE) < CAST(0.0 AS DOUBLE) OR TRY_CAST("source.accuracy" AS DOUBLE) > CAST(5.0 AS DOUBLE) OR (TRY_CAST("source.accuracy" AS DOUBLE) IS NULL AND "source.accuracy" IS NOT NULL) OR ISNAN(TRY_CAST("source.accuracy" AS DOUBLE)), FALSE) THEN 256 ELSE 0 END
  + CASE WHEN COALESCE("source.licence" IS NOT NULL AND NOT (COALESCE(CAST("source.licence" AS VARCHAR) IN ('MIT'), FALSE)), FALSE) THEN 512 ELSE 0 END
  + CASE WHEN COALESCE(COALESCE(CAST("source.licence" AS VARCHAR) IN ('GPL'), FALSE), FALSE) THEN 1024 ELSE 0 END
  + CASE WHEN COALESCE(NOT (TRY_CAST("source.accuracy" AS DOUBLE) > CAST(2.0 AS DOUBLE)) OR (TRY_CAST("source.accuracy" AS DOUBLE) IS NULL AND "source.accuracy" IS NOT NULL) OR ISNAN(TRY_CAST("source.accuracy" AS DOUBLE)), FALSE) THEN 2048 ELSE 0 END
  + CASE WHEN COALESCE(NOT (TRY_CAST("source.accuracy" AS DOUBLE) >= CAST(2.0 AS DOUBLE)) OR (TRY_CAST("source.accuracy" AS DOUBLE) IS NULL AND "source.accuracy" IS NOT NULL) OR ISNAN(TRY_CAST("source.accuracy" AS DOUBLE)), FALSE) THEN 4096 ELSE 0 END
  + CASE WHEN COALESCE(NOT (TRY_CAST("source.accuracy" AS DOUBLE) < CAST(5.0 AS DOUBLE)) OR (TRY_CAST("source.accuracy" AS DOUBLE) IS NULL AND "source.accuracy" IS NOT NULL) OR ISNAN(TRY_CAST("source.accuracy" AS DOUBLE)), FALSE) THEN 8192 ELSE 0 END
  + CASE WHEN COALESCE(NOT (TRY_CAST("source.accuracy" AS DOUBLE) <= CAST(5.0 AS DOUBLE)) OR (TRY_CAST("source.accuracy" AS DOUBLE) IS NULL AND "source.accuracy" IS NOT NULL) OR ISNAN(TRY_CAST("source.accuracy" AS DOUBLE)), FALSE) THEN 16384 ELSE 0 END
  + CASE WHEN COALESCE("source.topic" IS NOT NULL AND NOT (COALESCE(CAST("source.topic" AS VARCHAR) IN ('math', 'code', 'prose'), FALSE)), FALSE) THEN 32768 ELSE 0 END
  + CASE WHEN COALESCE(COALESCE(CAST("source.topic" AS VARCHAR) IN ('prose'), FALSE), FALSE) THEN 65536 ELSE 0 END
  + CASE WHEN CONTAINS(id, '-') THEN 131072 ELSE 0 END
  + CASE WHEN n IN (SELECT n FROM group18) THEN 262144 ELSE 0 END
  + CASE WHEN n IN (SELECT n FROM group19) THEN 524288 ELSE 0 END
  + CASE WHEN COALESCE(NOT (LENGTH("response") > 4 AND NOT (LOWER("response") LIKE '%http%')), FALSE) THEN 1048576 ELSE 0 END AS mask FROM rows)
SELECT r.rule AS rule, m.n AS n, m.id AS id, r.checked AS "column", LEFT(CASE r.bit WHEN 1 THEN CAST("input" AS VARCHAR) WHEN 2 THEN CAST("source.key" AS VARCHAR) WHEN 4 THEN CAST("response" AS VARCHAR) WHEN 8 THEN CAST("instruction" AS VARCHAR) WHEN 16 THEN CAST("response" AS VARCHAR) WHEN 32 THEN CAST("response" AS VARCHAR) WHEN 64 THEN CAST("source.key" AS VARCHAR) WHEN 128 THEN CAST("source.key" AS VARCHAR) WHEN 256 THEN CAST("source.accuracy" AS VARCHAR) WHEN 512 THEN CAST("source.licence" AS VARCHAR) WHEN 1024 THEN CAST("source.licence" AS VARCHAR) WHEN 2048 THEN CAST("source.accuracy" AS VARCHAR) WHEN 4096 THEN CAST("source.accuracy" AS VARCHAR) WHEN 8192 THEN CAST("source.accuracy" AS VARCHAR) WHEN 16384 THEN CAST("source.accuracy" AS VARCHAR) WHEN 32768 THEN CAST("source.topic" AS VARCHAR) WHEN 65536 THEN CAST("source.topic" AS VARCHAR) WHEN 131072 THEN instruction WHEN 262144 THEN instruction WHEN 524288 THEN instruction WHEN 1048576 THEN CAST("response" AS VARCHAR) END, 200) AS value
FROM (SELECT * FROM marked WHERE mask <> 0) AS m JOIN (VALUES (1, 'input_there', 'input'), (2, 'key_once', 'key'), (4, 'length', 'response'), (8, 'starts', 'instruction'), (16, 'says', 'response'), (32, 'refuses', 'response'), (64, 'begins', 'key'), (128, 'ends', 'key'), (256, 'on_scale', 'accuracy'), (512, 'is_mit', 'licence'), (1024, 'no_gpl', 'licence'), (2048, 'above', 'accuracy'), (4096, 'at_least', 'accuracy'), (8192, 'under', 'accuracy'), (16384, 'at_most', 'accuracy'), (32768, 'known_topic', 'topic'), (65536, 'no_prose', 'topic'), (131072, 'copies', 'instruction, input, response'), (262144, 'near_copies', 'instruction'), (524288, 'conflicts', 'response'), (1048576, 'words', 'response')) AS r (bit, rule, checked) ON (m.mask & r.bit) <> 0;

-- counts: failing
SELECT rule, COUNT(*) AS rows FROM failures GROUP BY rule ORDER BY rule;

-- categorising

CREATE OR REPLACE TABLE "row_categories" AS
SELECT 'keywords' AS category, n, id, hits FROM (SELECT n, id, CAST(CASE WHEN CONTAINS(instruction, 'Python') OR CONTAINS(input, 'Python') OR CONTAINS(response, 'Python') THEN 1 ELSE 0 END
  + CASE WHEN CONTAINS(instruction, 'C++') OR CONTAINS(input, 'C++') OR CONTAINS(response, 'C++') THEN 2 ELSE 0 END
  + CASE WHEN CONTAINS(instruction, '''quoted''') OR CONTAINS(input, '''quoted''') OR CONTAINS(response, '''quoted''') THEN 4 ELSE 0 END AS BIGINT) AS hits FROM rows) AS marked WHERE hits <> 0
UNION ALL
SELECT 'lone_keyword' AS category, n, id, hits FROM (SELECT n, id, CAST(CASE WHEN CONTAINS(response, 'answer') THEN 1 ELSE 0 END
  + CASE WHEN CONTAINS(response, 'Answer') THEN 2 ELSE 0 END AS BIGINT) AS hits FROM rows) AS marked WHERE hits <> 0
UNION ALL
SELECT 'pattern' AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows WHERE REGEXP_MATCHES(CONCAT_WS(CHR(10), instruction, input, response), '^[A-Z][a-z]+ ')
UNION ALL
SELECT 'values' AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows WHERE COALESCE(CAST("source.licence" AS VARCHAR) IN ('MIT'), FALSE)
UNION ALL
SELECT 'where' AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows WHERE ("source.accuracy" >= 4.5 AND NOT ISNAN("source.accuracy"))
UNION ALL
SELECT REGEXP_REPLACE(CAST("source.topic" AS VARCHAR), '^(-?[0-9]+)[.]0$', '\1') AS category, n, id, CAST(0 AS BIGINT) AS hits FROM rows WHERE REGEXP_REPLACE(CAST("source.topic" AS VARCHAR), '^(-?[0-9]+)[.]0$', '\1') IS NOT NULL AND REGEXP_REPLACE(CAST("source.topic" AS VARCHAR), '^(-?[0-9]+)[.]0$', '\1') <> '' AND REGEXP_REPLACE(CAST("source.topic" AS VARCHAR), '^(-?[0-9]+)[.]0$', '\1') NOT IN ('keywords', 'lone_keyword', 'pattern', 'values', 'where');

-- counts: category_rows
SELECT category, COUNT(*) AS rows FROM "row_categories" GROUP BY category ORDER BY category;

-- counts: keywords
SELECT 'keywords' AS category, 0 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'keywords' AND (hits & 1) <> 0
UNION ALL
SELECT 'keywords' AS category, 1 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'keywords' AND (hits & 2) <> 0
UNION ALL
SELECT 'keywords' AS category, 2 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'keywords' AND (hits & 4) <> 0
UNION ALL
SELECT 'lone_keyword' AS category, 0 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'lone_keyword' AND (hits & 1) <> 0
UNION ALL
SELECT 'lone_keyword' AS category, 1 AS keyword, COUNT(*) AS rows FROM "row_categories" WHERE category = 'lone_keyword' AND (hits & 2) <> 0
ORDER BY category, keyword;

-- selecting.clean

CREATE OR REPLACE TABLE "fates.clean" AS
SELECT 'clean' AS dataset, pool.n AS n, pool.id AS id, pool.fate AS fate, pool.reasons AS reasons
FROM (SELECT base.n AS n, base.id AS id, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CAST([] AS VARCHAR[]) ELSE LIST_CONCAT(dropped.reasons, CAST([] AS VARCHAR[])) END AS reasons
FROM rows AS base LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete" UNION ALL SELECT n, CONCAT('rule ', rule) AS reason FROM "failures" WHERE rule IN ('copies', 'no_prose', 'refuses')) AS taken_out GROUP BY n) AS dropped ON dropped.n = base.n) AS pool
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.clean" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.clean" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.clean" AS fates GROUP BY fates.fate ORDER BY fates.fate;

-- counts: category_fates
SELECT category, fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS above, 0 AS added, COUNT(*) FILTER (WHERE fates.fate = 'kept') AS drawn_from FROM "fates.clean" AS fates JOIN "row_categories" USING (n) GROUP BY category, fates.fate ORDER BY category, fates.fate;

-- selecting.some

CREATE OR REPLACE TABLE "pool" AS
SELECT base.n AS n, base.id AS id, CASE WHEN dropped.n IS NOT NULL THEN 'removed_by_rule' ELSE 'kept' END AS fate, CASE WHEN dropped.n IS NULL THEN CAST([] AS VARCHAR[]) ELSE LIST_CONCAT(dropped.reasons, CAST([] AS VARCHAR[])) END AS reasons
FROM rows AS base LEFT JOIN (SELECT n, LIST(DISTINCT reason ORDER BY reason) AS reasons FROM (SELECT n, reason FROM "incomplete" UNION ALL SELECT n, CONCAT('rule ', rule) AS reason FROM "failures" WHERE rule IN ('copies', 'no_prose', 'refuses')) AS taken_out GROUP BY n) AS dropped ON dropped.n = base.n;

CREATE OR REPLACE TABLE "overall" AS
SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule') AS v, COUNT(*) FILTER (WHERE fate = 'kept') AS b FROM pool;

CREATE OR REPLACE TABLE "quota1" AS
WITH counts AS (SELECT COUNT(*) FILTER (WHERE fate <> 'removed_by_rule' AND n IN (SELECT n FROM "row_categories" WHERE category = 'values')) AS v, COUNT(*) FILTER (WHERE fate = 'kept' AND n IN (SELECT n FROM "row_categories" WHERE category = 'values')) AS a, COUNT(*) FILTER (WHERE fate = 'kept') AS t FROM pool),
ranked AS (SELECT n, ROW_NUMBER() OVER (ORDER BY MD5(CONCAT('0', id)) ASC, id ASC) AS r FROM pool WHERE n IN (SELECT n FROM "row_categories" WHERE category = 'values') AND NOT (fate = 'kept') AND fate = 'below_threshold')
SELECT ranked.n AS n, 'added by quota: values min_rows 1' AS reason FROM ranked CROSS JOIN counts CROSS JOIN overall
WHERE counts.a + r - 1 < 1;

CREATE OR REPLACE TABLE "unsampled" AS
SELECT n FROM (SELECT n, ROW_NUMBER() OVER (ORDER BY MD5(CONCAT('0', id)) ASC, id ASC) AS r FROM pool WHERE (fate = 'kept' OR n IN (SELECT n FROM quota1))) AS ranked WHERE r > 6;

CREATE OR REPLACE TABLE "fates.some" AS
SELECT 'some' AS dataset, pool.n AS n, pool.id AS id, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN 'not_sampled' ELSE CASE WHEN pool.n IN (SELECT n FROM quota1) THEN 'kept' ELSE pool.fate END END AS fate, CASE WHEN pool.n IN (SELECT n FROM unsampled) THEN LIST_APPEND(CASE WHEN quotas.n IS NULL THEN pool.reasons ELSE LIST_CONCAT(pool.reasons, quotas.reasons) END, 'not sampled') ELSE CASE WHEN quotas.n IS NULL THEN pool.reasons ELSE LIST_CONCAT(pool.reasons, quotas.reasons) END END AS reasons
FROM pool LEFT JOIN (SELECT n, LIST(reason ORDER BY reason) AS reasons FROM (SELECT n, 'added' AS did, reason FROM quota1) AS changed GROUP BY n) AS quotas ON quotas.n = pool.n
ORDER BY n;

CREATE OR REPLACE TABLE "dataset.some" AS
SELECT rows.id AS "id", instruction AS "instruction", COALESCE(input, '') AS "input", response AS "output"
FROM rows JOIN (SELECT n FROM "fates.some" WHERE fate = 'kept') AS kept USING (n) ORDER BY rows.id;

-- counts: fates
SELECT fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.some" AS fates JOIN pool USING (n) GROUP BY fates.fate ORDER BY fates.fate;

-- counts: category_fates
SELECT category, fates.fate AS fate, COUNT(*) AS rows, COUNT(*) FILTER (WHERE pool.fate = 'kept') AS above, COUNT(*) FILTER (WHERE fates.fate = 'kept' AND pool.fate <> 'kept') AS added, COUNT(*) FILTER (WHERE fates.fate IN ('kept', 'not_sampled') AND pool.fate <> 'not_sampled') AS drawn_from FROM "fates.some" AS fates JOIN pool USING (n) JOIN "row_categories" USING (n) GROUP BY category, fates.fate ORDER BY category, fates.fate;
