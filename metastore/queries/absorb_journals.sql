-- Take what is staged into the tables. Ids that are there already are left alone, so that a
-- journal that is read twice changes nothing.

INSERT INTO store.datasets
SELECT id, name, source_id, fingerprint, profile, target, n_rows, n_columns,
       make_timestamp((written_at * 1e6)::BIGINT)
FROM (SELECT DISTINCT ON (id, source_id, profile, target, n_rows, n_columns) *
      FROM staged WHERE event = 'dataset') AS s
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
       coalesce(split, ''), make_timestamp((written_at * 1e6)::BIGINT)
FROM staged AS s
WHERE event = 'task' AND NOT EXISTS (SELECT 1 FROM store.tasks AS t WHERE t.task_id = s.id);

INSERT INTO store.search_spaces
SELECT DISTINCT ON (id) id, algorithm, text, now()::TIMESTAMP
FROM staged AS s
WHERE event = 'space' AND NOT EXISTS (SELECT 1 FROM store.search_spaces AS t WHERE t.space_id = s.id);

INSERT INTO store.environments
SELECT DISTINCT ON (id) id, text
FROM staged AS s
WHERE event = 'environment'
  AND NOT EXISTS (SELECT 1 FROM store.environments AS t WHERE t.environment_id = s.id);

INSERT INTO store.configs
SELECT config_id, any_value(config)
FROM staged AS s
WHERE config IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM store.configs AS c WHERE c.config_id = s.config_id)
GROUP BY config_id;

INSERT INTO store.metafeatures
SELECT dataset_id, f.name, f.family, f.value, f.status, f.seconds, f.extractor, f.version,
       f.message, make_timestamp((written_at * 1e6)::BIGINT)
FROM (SELECT dataset_id, written_at, unnest(features) AS f FROM staged WHERE event = 'metafeatures');

CREATE OR REPLACE TEMP TABLE staged_ends AS
SELECT run_id, arg_max(status, written_at) AS status, max(written_at) AS written_at, arg_max(seconds, written_at) AS seconds,
       arg_max(error, written_at) AS error
FROM staged WHERE event = 'end' GROUP BY run_id;

-- The first line of each run that is not in the store yet; a run that stands in two journals,
-- or twice in one, is taken once.
CREATE OR REPLACE TEMP TABLE absorbed_runs AS
SELECT run_id, min(line) AS line
FROM staged AS s
WHERE event = 'run' AND NOT EXISTS (SELECT 1 FROM store.runs AS r WHERE r.run_id = s.run_id)
GROUP BY run_id;

-- A run whose end is in the same batch is one row; a later end goes to run_ends.
INSERT INTO store.runs
SELECT run_id, s.dataset_id, coalesce(s.target, ''), coalesce(s.split, ''), s.algorithm,
       s.config_id, s.space_id, coalesce(e.status, s.status), s.seed, s.fidelity,
       make_timestamp((s.started_at * 1e6)::BIGINT), coalesce(e.seconds, s.seconds),
       coalesce(e.error, s.error), s.parent_id, s.environment_id, s.code_version, s.tags,
       s.journal, make_timestamp((s.written_at * 1e6)::BIGINT)
FROM staged AS s
SEMI JOIN absorbed_runs USING (run_id, line)
LEFT JOIN staged_ends AS e USING (run_id);

INSERT INTO store.run_ends
SELECT e.run_id, e.status, make_timestamp((e.written_at * 1e6)::BIGINT), e.seconds, e.error,
       now()::TIMESTAMP
FROM staged_ends AS e
ANTI JOIN absorbed_runs USING (run_id);

-- A whole run that was there already brings no values; an open run's later values do.
INSERT INTO store.metric_values
SELECT run_id, v.metric, v.step, v.fold, v.value::DOUBLE, v.higher_is_better
FROM (
    SELECT run_id, unnest("values") AS v
    FROM staged AS s
    WHERE event = 'values' OR line IN (SELECT line FROM absorbed_runs)
);

INSERT INTO store.recommendations
SELECT id, dataset_id, r.metric, algorithm, config_id, r.position, r.value, r.low, r.high,
       r.seconds, r.method, r.abstained, r.evidence, make_timestamp((written_at * 1e6)::BIGINT)
FROM (SELECT id, dataset_id, algorithm, config_id, written_at, recommendation AS r
      FROM staged WHERE event = 'recommendation');
