-- Runs of an algorithm that begins from starts, and the weights that the start had then.
SELECT r.run_id::VARCHAR AS run, c.config ->> '$.start' AS start,
       r.tags ->> '$.start_weights' AS weights
FROM store.run_states AS r
JOIN store.configs AS c USING (config_id)
WHERE r.algorithm = $algorithm AND weights IS NOT NULL
