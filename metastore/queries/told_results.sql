-- The result of each chosen run and metric, as views count it: the last where a run said several,
-- and the mean of its folds where it has folds alone. `last_results` is the same of all runs.
SELECT run_id, metric, any_value(higher_is_better) AS higher_is_better,
       coalesce(any_value(value) FILTER (fold IS NULL), avg(value)) AS value
FROM (
    SELECT run_id, metric, fold, arg_max(value, rowid) AS value,
           any_value(higher_is_better) AS higher_is_better
    FROM store.metric_values
    SEMI JOIN chosen USING (run_id)
    WHERE step IS NULL
    GROUP BY run_id, metric, fold
)
GROUP BY run_id, metric
