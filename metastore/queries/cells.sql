-- One row a run that says something; one that goes on or was pruned says nothing yet. Before it
-- stands WITH results AS (SELECT run_id, value ...). No column has a NULL.
SELECT d.dataset, a.number AS algorithm, r.config_id,
       coalesce(v.value, 'nan') AS value, coalesce(r.seconds, 'nan') AS seconds,
       (r.status = 'completed')::UTINYINT AS completed
FROM store.run_states AS r
JOIN temp.main.numbered_datasets AS d USING (dataset_id)
JOIN temp.main.numbered_algorithms AS a USING (algorithm)
LEFT JOIN results AS v USING (run_id)
WHERE (r.status = 'completed' AND v.run_id IS NOT NULL)
   OR (r.status IN ('failed', 'timeout', 'crashed') AND (v.run_id IS NOT NULL OR d.asked))
