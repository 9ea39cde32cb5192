-- The result of each run of a metric, the last one where it said several: its value over all
-- folds, else the mean of its folds. Rows of a run stand in the order in which it said them.
SELECT run_id, coalesce(any_value(value) FILTER (fold IS NULL), avg(value)) AS value
FROM (
    SELECT run_id, fold, arg_max(value, rowid) AS value
    FROM store.metric_values
    WHERE metric = $metric AND step IS NULL
    GROUP BY run_id, fold
)
GROUP BY run_id
