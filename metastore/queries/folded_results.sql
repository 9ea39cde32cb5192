-- The result of each run of a metric: its value over all folds, else the mean of its folds.
SELECT run_id, value FROM store.metric_values
WHERE metric = $metric AND step IS NULL AND fold IS NULL
UNION ALL
SELECT run_id, avg(value) FROM store.metric_values
WHERE metric = $metric AND step IS NULL AND fold IS NOT NULL
  AND run_id NOT IN (
    SELECT run_id FROM store.metric_values
    WHERE metric = $metric AND step IS NULL AND fold IS NULL
)
GROUP BY run_id
