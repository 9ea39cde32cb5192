-- Ended runs on some datasets with their result of a metric: the value over all folds, else the
-- mean of the folds, else NULL.
WITH results AS (
    SELECT run_id,
           coalesce(avg(value) FILTER (fold IS NULL), avg(value)) AS value
    FROM store.metric_values
    WHERE metric = $metric AND step IS NULL
    GROUP BY run_id
)
SELECT r.dataset_id::VARCHAR AS dataset_id, r.algorithm, r.config_id::VARCHAR AS config_id,
       r.status, r.recorded_at, v.value
FROM store.run_states AS r
LEFT JOIN results AS v USING (run_id)
WHERE list_contains($datasets, r.dataset_id::VARCHAR)
  AND ((r.status = 'completed' AND v.value IS NOT NULL)
       OR r.status IN ('failed', 'timeout', 'crashed'))
ORDER BY r.recorded_at, r.run_id;
