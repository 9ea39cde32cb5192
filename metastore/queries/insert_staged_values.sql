INSERT INTO store.metric_values
SELECT run_id, metric, step, fold, value, higher_is_better
FROM new_rows
WHERE value IS NOT NULL;
