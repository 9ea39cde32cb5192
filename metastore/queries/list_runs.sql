-- The newest runs. A result is the last that was said of a metric, or else the mean over folds.
WITH chosen AS (
    SELECT r.run_id, l.label AS dataset, r.algorithm, r.status, r.seconds, r.seed, r.started_at,
           r.recorded_at, r.config_id, r.error
    FROM store.run_states AS r
    JOIN labels AS l USING (dataset_id)
    WHERE ($dataset = '' OR l.label = $dataset)
      AND ($algorithm = '' OR r.algorithm = $algorithm)
      AND ($status = '' OR r.status = $status)
      AND ($metric = ''
           OR r.run_id IN (SELECT run_id FROM store.metric_values WHERE metric = $metric))
    ORDER BY coalesce(r.started_at, r.recorded_at) DESC, r.run_id DESC
    LIMIT $limit
), last AS (
    SELECT run_id, metric, fold, arg_max(value, rowid) AS value
    FROM store.metric_values
    SEMI JOIN chosen USING (run_id)
    WHERE step IS NULL AND ($metric = '' OR metric = $metric)
    GROUP BY run_id, metric, fold
), results AS (
    SELECT run_id, list(metric || '=' || printf('%.6g', value)) AS results
    FROM (
        SELECT run_id, metric,
               coalesce(any_value(value) FILTER (fold IS NULL), avg(value)) AS value
        FROM last
        GROUP BY run_id, metric
    )
    GROUP BY run_id
)
SELECT r.run_id::VARCHAR AS run, r.dataset, r.algorithm, r.status,
       list_sort(coalesce(v.results, [])) AS results, round(r.seconds, 3) AS seconds, r.seed,
       r.started_at AS started, c.config, r.error
FROM chosen AS r
LEFT JOIN store.configs AS c USING (config_id)
LEFT JOIN results AS v USING (run_id)
ORDER BY coalesce(r.started_at, r.recorded_at) DESC, r.run_id DESC;
