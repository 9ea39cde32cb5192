-- The configs of an algorithm, one row a run, at most 100,000 of them: those that gave a result,
-- or all where none did. What has only ever failed may lie where no run can succeed.
WITH ran AS (
    SELECT config_id, status IN ('completed', 'pruned') AS gave
    FROM store.run_states
    WHERE algorithm = $algorithm
), chosen AS (
    SELECT config_id FROM ran
    WHERE config_id IN (SELECT config_id FROM ran WHERE gave)
       OR NOT (SELECT bool_or(gave) FROM ran)
    ORDER BY config_id
    LIMIT 100000
)
SELECT c.config
FROM chosen
JOIN store.configs AS c USING (config_id)
ORDER BY c.config_id;
