-- Ended runs of an algorithm that begins from starts, with the weights that the start had then.
-- Before it stands WITH results AS (SELECT run_id, value ...).
SELECT l.label AS dataset, c.config, c.config ->> '$.start' AS start,
       r.tags ->> '$.start_weights' AS weights,
       CASE WHEN r.status = 'completed' THEN v.value END AS value
FROM store.run_states AS r
JOIN labels AS l USING (dataset_id)
JOIN store.configs AS c USING (config_id)
LEFT JOIN results AS v USING (run_id)
WHERE r.algorithm = $algorithm AND r.status IN ('completed', 'failed', 'timeout', 'crashed')
