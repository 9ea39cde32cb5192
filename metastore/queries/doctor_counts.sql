SELECT (SELECT count(*) FROM store.runs) AS runs,
       (SELECT count(DISTINCT label) FROM labels) AS datasets,
       (SELECT count(*) FROM store.configs) AS configs,
       (SELECT count(*) FROM store.metric_values) AS metric_values,
       (SELECT count(DISTINCT label) FROM labels
        WHERE dataset_id IN (SELECT dataset_id FROM store.metafeatures)) AS described,
       (SELECT count(*) FROM store.runs AS r
        WHERE NOT EXISTS (SELECT 1 FROM store.configs AS c WHERE c.config_id = r.config_id)
           OR NOT EXISTS (SELECT 1 FROM store.datasets AS d WHERE d.dataset_id = r.dataset_id)
       ) AS orphans,
       (SELECT count(*) FROM store.run_states WHERE status = 'running') AS running,
       (SELECT count(*) FROM store.run_states WHERE status = 'crashed') AS crashed;
