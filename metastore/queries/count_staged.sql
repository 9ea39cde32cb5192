-- Rows, refused rows, runs, known runs, and new runs that gave no value for any metric.
SELECT count(*), count(problem),
       CASE WHEN $grouped THEN count(DISTINCT run_id) ELSE count(run_id) END,
       (SELECT count(*) FROM known_runs),
       (SELECT count(*) FROM (
           SELECT run_id FROM staged ANTI JOIN known_runs USING (run_id)
           WHERE problem IS NULL AND (status <> 'completed' OR $grouped)
           GROUP BY run_id HAVING min(status) <> 'completed'))
FROM staged;
