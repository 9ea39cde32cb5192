-- What the completed trials of a search drew, at most 100,000 of them: a trial that ended early may
-- lack what it would have drawn.
SELECT c.config
FROM store.run_states AS r
JOIN store.configs AS c USING (config_id)
WHERE r.algorithm = $algorithm AND r.parent_id = $parent::UUID AND r.status = 'completed'
ORDER BY c.config_id
LIMIT 100000;
