INSERT INTO store.metric_values
SELECT run_id, metric, step, fold, value, higher_is_better
FROM staged ANTI JOIN known_runs USING (run_id)
WHERE problem IS NULL AND value IS NOT NULL;
