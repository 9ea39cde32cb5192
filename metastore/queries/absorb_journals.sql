-- Take staged events into the tables. Ids that are there already are left alone, so that a
-- journal that is read twice changes nothing.

INSERT INTO store.datasets
SELECT id, name, source_id, fingerprint, profile, target, n_rows, n_columns,
       moment(written_at)
FROM (SELECT DISTINCT ON (id, source_id, profile, target, n_rows, n_columns) *
      FROM events WHERE event = 'dataset') AS s
WHERE NOT EXISTS (
    FROM store.datasets AS d
    WHERE d.dataset_id = s.id
      AND d.source_id IS NOT DISTINCT FROM s.source_id
      AND d.profile IS NOT DISTINCT FROM s.profile
      AND d.target IS NOT DISTINCT FROM s.target
      AND d.n_rows IS NOT DISTINCT FROM s.n_rows
      AND d.n_columns IS NOT DISTINCT FROM s.n_columns
);

INSERT INTO store.tasks
SELECT DISTINCT ON (id) id, dataset_id, coalesce(target, ''), metric, higher_is_better,
       coalesce(split, ''), moment(written_at)
FROM events AS s
WHERE event = 'task' AND NOT EXISTS (SELECT 1 FROM store.tasks AS t WHERE t.task_id = s.id);

-- Two algorithms may have one space. Journals of earlier versions do not say when it was.
INSERT INTO store.search_spaces
SELECT DISTINCT ON (id, algorithm) id, algorithm, text,
       coalesce(moment(written_at), now()::TIMESTAMP)
FROM events AS s
WHERE event = 'space'
  AND NOT EXISTS (SELECT 1 FROM store.search_spaces AS t
                  WHERE t.space_id = s.id AND t.algorithm = s.algorithm);

INSERT INTO store.environments
SELECT DISTINCT ON (id) id, text
FROM events AS s
WHERE event = 'environment'
  AND NOT EXISTS (SELECT 1 FROM store.environments AS t WHERE t.environment_id = s.id);

INSERT INTO store.configs
SELECT config_id, any_value(config)
FROM events AS s
WHERE config IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM store.configs AS c WHERE c.config_id = s.config_id)
GROUP BY config_id;

INSERT INTO store.metafeatures
SELECT dataset_id, f.name, f.family, f.value, f.status, f.seconds, f.extractor, f.version,
       f.message, moment(written_at)
FROM (SELECT dataset_id, written_at, unnest(features) AS f FROM events WHERE event = 'metafeatures')
WHERE f.name IS NOT NULL AND f.family IS NOT NULL AND f.status IS NOT NULL
  AND f.extractor IS NOT NULL AND f.version IS NOT NULL;

CREATE OR REPLACE TEMP TABLE staged_ends AS
SELECT run_id, arg_max(status, written_at) AS status, max(written_at) AS written_at,
       arg_max_null(seconds, written_at) AS seconds, arg_max_null(error, written_at) AS error
FROM events WHERE event = 'end' GROUP BY run_id;

-- The first line of each run that is not in the store yet; a run that stands in two journals,
-- or twice in one, is taken once.
CREATE OR REPLACE TEMP TABLE absorbed_runs AS
SELECT run_id, min(line) AS line
FROM events AS s
WHERE event = 'run' AND NOT EXISTS (SELECT 1 FROM store.runs AS r WHERE r.run_id = s.run_id)
GROUP BY run_id;

-- A run whose end is in the same batch is one row; a later end goes to run_ends.
INSERT INTO store.runs
SELECT run_id, s.dataset_id, coalesce(s.target, ''), coalesce(s.split, ''), s.algorithm,
       s.config_id, s.space_id, coalesce(e.status, s.status), s.seed, s.fidelity,
       moment(s.started_at), coalesce(e.seconds, s.seconds),
       coalesce(e.error, s.error), s.parent_id, s.environment_id, s.code_version, s.tags,
       s.journal, moment(s.written_at)
FROM events AS s
SEMI JOIN absorbed_runs USING (run_id, line)
LEFT JOIN staged_ends AS e USING (run_id);

INSERT INTO store.run_ends
SELECT e.run_id, e.status, moment(e.written_at), e.seconds, e.error,
       now()::TIMESTAMP
FROM staged_ends AS e
ANTI JOIN absorbed_runs USING (run_id)
WHERE NOT EXISTS (
    SELECT 1 FROM store.runs AS r
    WHERE r.run_id = e.run_id AND r.status = e.status AND r.seconds IS NOT DISTINCT FROM e.seconds
) AND NOT EXISTS (
    SELECT 1 FROM store.run_ends AS o WHERE o.run_id = e.run_id AND o.status = e.status
      AND o.ended_at IS NOT DISTINCT FROM moment(e.written_at)
);

-- A whole run that was there already brings no values; an open run's later values do, once.
INSERT INTO store.metric_values
SELECT run_id, v.metric, v.step, v.fold, try_cast(v.value AS DOUBLE), v.higher_is_better
FROM (
    SELECT run_id, unnest("values") AS v
    FROM events AS s
    WHERE event = 'run' AND line IN (SELECT line FROM absorbed_runs)
)
WHERE v.metric IS NOT NULL AND try_cast(v.value AS DOUBLE) IS NOT NULL;

CREATE OR REPLACE TEMP TABLE later_values AS
SELECT min(line) AS line, run_id, v.metric AS metric, v.step AS step, v.fold AS fold,
       try_cast(v.value AS DOUBLE) AS value, any_value(v.higher_is_better) AS higher_is_better
FROM (SELECT line, run_id, unnest("values") AS v FROM events WHERE event = 'values')
WHERE v.metric IS NOT NULL AND try_cast(v.value AS DOUBLE) IS NOT NULL
GROUP BY ALL;

INSERT INTO store.metric_values
SELECT run_id, metric, step, fold, value, higher_is_better
FROM later_values AS n
WHERE NOT EXISTS (
    SELECT 1 FROM store.metric_values AS v
    WHERE v.run_id = n.run_id AND v.metric = n.metric AND v.value IS NOT DISTINCT FROM n.value
      AND v.step IS NOT DISTINCT FROM n.step AND v.fold IS NOT DISTINCT FROM n.fold
)
ORDER BY line;

-- A process that was handed a run by another one knows no dataset, so it names no tasks.
INSERT INTO store.tasks
SELECT DISTINCT ON (task_id) *
FROM (
    SELECT md5(concat_ws(chr(31), r.dataset_id::VARCHAR, r.target, n.metric,
                         CASE n.higher_is_better WHEN true THEN 'higher' WHEN false THEN 'lower'
                         ELSE '' END, r.split))::UUID AS task_id,
           r.dataset_id, r.target, n.metric, n.higher_is_better, r.split, r.recorded_at
    FROM (SELECT DISTINCT run_id, metric, higher_is_better FROM later_values) AS n
    JOIN store.runs AS r USING (run_id)
) AS s
WHERE NOT EXISTS (SELECT 1 FROM store.tasks AS t WHERE t.task_id = s.task_id);

INSERT INTO store.recommendations
SELECT id, dataset_id, r.metric, algorithm, config_id, r.position, r.value, r.low, r.high,
       r.seconds, r.method, r.abstained, r.evidence, moment(written_at)
FROM (SELECT id, dataset_id, algorithm, config_id, written_at, recommendation AS r
      FROM events WHERE event = 'recommendation') AS s
WHERE NOT EXISTS (SELECT 1 FROM store.recommendations AS p WHERE p.recommendation_id = s.id);
