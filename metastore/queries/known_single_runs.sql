-- Staged rows of which an imported run says exactly the same. What a file says n times and the
-- store m times is known m times.
CREATE OR REPLACE TEMP TABLE known_runs AS
WITH recorded AS (
    SELECT r.dataset_id, r.target, r.split, r.algorithm, r.config_id, r.seed, r.fidelity,
           r.started_at, v.metric, v.value, count(*) AS times
    FROM store.runs AS r
    LEFT JOIN store.metric_values AS v
      ON v.run_id = r.run_id AND v.step IS NULL AND v.fold IS NULL
    WHERE r.environment_id IS NULL
      AND r.dataset_id IN (SELECT dataset_id FROM staged_datasets)
    GROUP BY ALL
), numbered AS (
    SELECT run_id, dataset_id, target, split, algorithm, config_id, seed, fidelity, started_at,
           CASE WHEN value IS NOT NULL THEN metric END AS metric, value,
           row_number() OVER (
               PARTITION BY dataset_id, target, split, algorithm, config_id, seed, fidelity,
                            started_at, CASE WHEN value IS NOT NULL THEN metric END, value
               ORDER BY line
           ) AS number
    FROM lone_rows
)
SELECT n.run_id
FROM numbered AS n
JOIN recorded AS r
  ON n.dataset_id = r.dataset_id AND n.config_id = r.config_id AND n.algorithm = r.algorithm
 AND n.target = r.target AND n.split = r.split AND n.seed IS NOT DISTINCT FROM r.seed
 AND n.fidelity IS NOT DISTINCT FROM r.fidelity
 AND n.started_at IS NOT DISTINCT FROM r.started_at
 AND n.metric IS NOT DISTINCT FROM r.metric AND n.value IS NOT DISTINCT FROM r.value
WHERE n.number <= r.times;
