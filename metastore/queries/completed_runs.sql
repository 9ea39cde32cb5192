-- The completed runs on a dataset.
SELECT r.run_id, r.algorithm, c.config
FROM store.run_states AS r
JOIN labels AS l USING (dataset_id)
JOIN store.configs AS c USING (config_id)
WHERE l.label = $dataset AND r.status = 'completed'
