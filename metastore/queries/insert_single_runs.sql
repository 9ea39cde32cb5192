INSERT INTO store.runs
SELECT run_id, dataset_id, target, split, algorithm, config_id, NULL, status, seed, fidelity,
       started_at, seconds, error, NULL, NULL, NULL, NULL, source, now()::TIMESTAMP
FROM staged ANTI JOIN known_runs USING (run_id)
WHERE problem IS NULL;
