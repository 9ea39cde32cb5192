-- A run with a value for one of its metrics completed: its first completed row speaks for it.
INSERT INTO store.runs
SELECT run_id, dataset_id, target, split, algorithm, config_id, NULL, status, seed, fidelity,
       started_at, seconds, error, NULL, NULL, NULL, NULL, source, now()::TIMESTAMP
FROM (
    SELECT * FROM new_rows
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY status, line) = 1
);
-- A metric that a run has as a curve alone counts with its last value.
INSERT INTO store.metric_values
SELECT run_id, metric, NULL, fold, arg_max(value, step), any_value(higher_is_better)
FROM new_rows
WHERE value IS NOT NULL
GROUP BY run_id, metric, fold
HAVING count(step) = count(*) AND bool_and(coalesce(said_status, 'completed') = 'completed');
