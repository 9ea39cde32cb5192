SELECT r.run_id::VARCHAR AS run, l.label AS dataset, r.algorithm, r.status,
       list_sort(coalesce(v.results, [])) AS results, round(r.seconds, 3) AS seconds, r.seed,
       r.started_at AS started, c.config, r.error
FROM store.run_states AS r
JOIN labels AS l USING (dataset_id)
LEFT JOIN store.configs AS c USING (config_id)
LEFT JOIN LATERAL (
    SELECT list(metric || '=' || printf('%.6g', value)) AS results
    FROM store.metric_values AS m
    WHERE m.run_id = r.run_id AND m.step IS NULL AND m.fold IS NULL
      AND ($metric = '' OR m.metric = $metric)
) AS v ON true
WHERE ($dataset = '' OR l.label = $dataset)
  AND ($algorithm = '' OR r.algorithm = $algorithm)
  AND ($status = '' OR r.status = $status)
  AND ($metric = '' OR r.run_id IN (SELECT run_id FROM store.metric_values WHERE metric = $metric))
ORDER BY coalesce(r.started_at, r.recorded_at) DESC, r.run_id DESC
LIMIT $limit;
