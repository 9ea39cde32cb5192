-- Rows, refused rows, runs, known runs, and new runs that gave no value for any metric.
SELECT count(*), count(DISTINCT line) FILTER (problem IS NOT NULL),
       CASE WHEN $grouped THEN count(DISTINCT run_id) FILTER (problem IS NULL)
       ELSE count(run_id) FILTER (problem IS NULL) END,
       (SELECT count(DISTINCT run_id) FROM staged SEMI JOIN known_runs USING (run_id)
        WHERE problem IS NULL),
       (SELECT count(*) FROM (
           SELECT run_id FROM staged ANTI JOIN known_runs USING (run_id)
           WHERE problem IS NULL AND (status <> 'completed' OR $grouped)
           GROUP BY run_id HAVING min(status) <> 'completed'))
FROM staged;
