-- Rows, refused rows, runs, known runs, and new runs that gave no value.
SELECT count(*), count(problem), count(DISTINCT run_id),
       (SELECT count(*) FROM known_runs),
       count(DISTINCT run_id) FILTER (status <> 'completed' AND problem IS NULL)
FROM staged;
