-- The result of each run of a metric, where there are no folds and no run said several.
SELECT run_id, value FROM store.metric_values
WHERE metric = $metric AND step IS NULL AND fold IS NULL
