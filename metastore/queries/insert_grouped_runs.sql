-- A run with a value for one of its metrics completed: its first completed row speaks for it.
INSERT INTO store.runs
SELECT run_id, dataset_id, target, split, algorithm, config_id, NULL, status, seed, fidelity,
       started_at, seconds, error, NULL, NULL, NULL, NULL, source, now()::TIMESTAMP
FROM (
    SELECT * FROM staged ANTI JOIN known_runs USING (run_id)
    WHERE problem IS NULL
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY status, line) = 1
);
