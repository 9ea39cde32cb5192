INSERT INTO store.runs
SELECT run_id, dataset_id, target, split, algorithm, config_id, NULL, status, seed, fidelity,
       started_at, seconds, error, NULL, NULL, NULL, NULL, source, now()::TIMESTAMP
FROM new_rows;
