-- One row a (dataset, algorithm, config): the mean result over its completed runs, or NULL where
-- it only ever failed; runs that go on or were pruned say nothing yet. A run's result is its value over all folds, else the mean of its folds.
CREATE OR REPLACE TEMP TABLE tried AS
WITH whole AS (
    SELECT run_id, value FROM store.metric_values
    WHERE metric = $metric AND step IS NULL AND fold IS NULL
), folded AS (
    SELECT run_id, value FROM store.metric_values
    WHERE metric = $metric AND step IS NULL AND fold IS NOT NULL
), results AS (
    SELECT run_id, value FROM whole
    UNION ALL
    SELECT run_id, avg(value) FROM folded ANTI JOIN whole USING (run_id) GROUP BY run_id
), asked AS (
    SELECT DISTINCT dataset_id FROM store.tasks WHERE metric = $metric
)
SELECT r.dataset_id, r.algorithm, r.config_id,
       avg(v.value) FILTER (r.status = 'completed' AND isfinite(v.value)) AS value,
       greatest(count(v.value) FILTER (r.status = 'completed' AND isfinite(v.value)), 1) AS repeats,
       coalesce(avg(r.seconds) FILTER (r.status = 'completed'), avg(r.seconds)) AS seconds
FROM store.run_states AS r
LEFT JOIN results AS v USING (run_id)
WHERE (r.status = 'completed' AND v.run_id IS NOT NULL)
   OR (r.status IN ('failed', 'timeout', 'crashed')
       AND (v.run_id IS NOT NULL OR r.dataset_id IN (SELECT dataset_id FROM asked)))
GROUP BY r.dataset_id, r.algorithm, r.config_id;
