SELECT r.run_id::VARCHAR AS run, l.label AS dataset, r.target, r.split, r.algorithm, r.status,
       r.seconds, r.seed, r.fidelity, r.started_at AS started, r.error,
       r.parent_id::VARCHAR AS parent, r.code_version, r.source, c.config, r.tags, e.environment
FROM store.run_states AS r
LEFT JOIN labels AS l USING (dataset_id)
LEFT JOIN store.configs AS c USING (config_id)
LEFT JOIN store.environments AS e USING (environment_id)
WHERE r.run_id = $run_id
LIMIT 1;
