-- Ended runs on some datasets with their result of a metric, NULL where there is none, in the order
-- in which they were recorded. Before it stands WITH results AS (SELECT run_id, value ...).
SELECT r.dataset_id::VARCHAR AS dataset_id, r.algorithm, r.config_id::VARCHAR AS config_id,
       r.status, coalesce(r.fidelity, 'inf') AS fidelity, r.recorded_at,
       CASE WHEN r.status = 'completed' THEN v.value END AS value
FROM store.run_states AS r
LEFT JOIN results AS v USING (run_id)
WHERE list_contains($datasets, r.dataset_id::VARCHAR)
  AND ((r.status = 'completed' AND v.value IS NOT NULL)
       OR r.status IN ('failed', 'timeout', 'crashed'))
ORDER BY r.recorded_at, r.run_id;
