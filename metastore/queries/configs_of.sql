-- The configs of an algorithm, one row a run, at most 100,000 of them.
SELECT c.config
FROM store.runs AS r
JOIN store.configs AS c USING (config_id)
WHERE r.algorithm = $algorithm
ORDER BY c.config_id
LIMIT 100000;
