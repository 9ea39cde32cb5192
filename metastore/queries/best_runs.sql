-- The best completed run of each metric on a dataset: by the last result that a run said, or else
-- by the mean over its folds, as views count.
WITH finished AS (
    SELECT r.run_id, r.algorithm, c.config
    FROM store.run_states AS r
    JOIN labels AS l USING (dataset_id)
    JOIN store.configs AS c USING (config_id)
    WHERE l.label = $dataset AND r.status = 'completed'
), last AS (
    SELECT run_id, metric, fold, arg_max(value, rowid) AS value,
           any_value(higher_is_better) AS higher_is_better
    FROM store.metric_values
    SEMI JOIN finished USING (run_id)
    WHERE step IS NULL
    GROUP BY run_id, metric, fold
), results AS (
    SELECT run_id, metric, any_value(higher_is_better) AS higher_is_better,
           coalesce(any_value(value) FILTER (fold IS NULL), avg(value)) AS value
    FROM last
    GROUP BY run_id, metric
)
SELECT metric, value, algorithm, config, run
FROM (
    SELECT v.metric, v.value, f.algorithm, f.config, f.run_id::VARCHAR AS run,
           row_number() OVER (
               PARTITION BY v.metric
               ORDER BY CASE WHEN coalesce(s.higher, v.higher_is_better, true)
                             THEN -v.value ELSE v.value END, f.run_id
           ) AS place
    FROM results AS v
    JOIN finished AS f USING (run_id)
    LEFT JOIN (SELECT metric, arg_max(higher_is_better, recorded_at) AS higher
               FROM store.metric_directions GROUP BY metric) AS s USING (metric)
    WHERE isfinite(v.value)
)
WHERE place = 1
ORDER BY metric;
