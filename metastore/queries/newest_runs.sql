-- The newest runs.
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
