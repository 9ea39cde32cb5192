-- Runs with their results. Before it stands WITH chosen AS (...), told AS (...).
SELECT r.run_id::VARCHAR AS run, r.dataset, r.algorithm, r.status,
       list_sort(coalesce(v.results, [])) AS results, round(r.seconds, 3) AS seconds, r.seed,
       r.started_at AS started, c.config, r.error
FROM chosen AS r
LEFT JOIN store.configs AS c USING (config_id)
LEFT JOIN (
    SELECT run_id, list(metric || '=' || printf('%.6g', value)) AS results
    FROM told
    WHERE $metric = '' OR metric = $metric
    GROUP BY run_id
) AS v USING (run_id)
ORDER BY coalesce(r.started_at, r.recorded_at) DESC, r.run_id DESC;
