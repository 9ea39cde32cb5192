-- The best run of each metric. Before it stands WITH chosen AS (...), told AS (...).
SELECT metric, value, algorithm, config, run
FROM (
    SELECT v.metric, v.value, f.algorithm, f.config, f.run_id::VARCHAR AS run,
           row_number() OVER (
               PARTITION BY v.metric
               ORDER BY CASE WHEN coalesce(s.higher, v.higher_is_better, true)
                             THEN -v.value ELSE v.value END, f.run_id
           ) AS place
    FROM told AS v
    JOIN chosen AS f USING (run_id)
    LEFT JOIN (SELECT metric, arg_max(higher_is_better, recorded_at) AS higher
               FROM store.metric_directions GROUP BY metric) AS s USING (metric)
    WHERE isfinite(v.value)
)
WHERE place = 1
ORDER BY metric;
