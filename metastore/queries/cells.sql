-- One row a run that says something; one that goes on, was pruned or was interrupted says nothing.
-- Before it stands WITH results AS (SELECT run_id, value ...). No column has a NULL.
SELECT d.dataset, a.number AS algorithm, r.config_id, hash(r.run_id) AS run,
       coalesce(v.value, 'nan') AS value, coalesce(r.seconds, 'nan') AS seconds,
       coalesce(r.fidelity, 'inf') AS fidelity,
       CASE r.status WHEN 'completed' THEN 2 WHEN 'crashed' THEN 0 ELSE 1 END::UTINYINT AS ended
FROM store.run_states AS r
JOIN temp.main.numbered_datasets AS d USING (dataset_id)
JOIN temp.main.numbered_algorithms AS a USING (algorithm)
LEFT JOIN results AS v USING (run_id)
WHERE (r.status = 'completed' AND v.run_id IS NOT NULL)
   OR (r.status IN ('failed', 'timeout', 'crashed') AND (v.run_id IS NOT NULL OR d.asked))
