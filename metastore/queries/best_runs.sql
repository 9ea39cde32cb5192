-- The best completed run of each metric on a dataset.
SELECT metric, value, algorithm, config, run
FROM (
    SELECT v.metric, v.value, r.algorithm, c.config, r.run_id::VARCHAR AS run,
           row_number() OVER (
               PARTITION BY v.metric
               ORDER BY CASE WHEN coalesce(s.higher, v.higher_is_better, true)
                             THEN -v.value ELSE v.value END, r.run_id
           ) AS place
    FROM store.metric_values AS v
    JOIN store.run_states AS r USING (run_id)
    JOIN labels AS l USING (dataset_id)
    JOIN store.configs AS c USING (config_id)
    LEFT JOIN (SELECT metric, arg_max(higher_is_better, recorded_at) AS higher
               FROM store.metric_directions GROUP BY metric) AS s USING (metric)
    WHERE l.label = $dataset AND r.status = 'completed' AND v.step IS NULL AND v.fold IS NULL
      AND isfinite(v.value)
)
WHERE place = 1
ORDER BY metric;
