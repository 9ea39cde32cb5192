INSERT INTO store.datasets
SELECT DISTINCT ON (name, source_id, target)
       dataset_id, name, source_id, NULL, NULL, target, NULL, NULL, now()::TIMESTAMP
FROM staged_datasets AS s
WHERE dataset_id IN (SELECT dataset_id FROM staged WHERE problem IS NULL)
  AND NOT EXISTS (
    SELECT 1 FROM store.datasets AS d
    WHERE d.dataset_id = s.dataset_id AND d.source_id IS NOT DISTINCT FROM s.source_id
      AND d.target IS NOT DISTINCT FROM s.target
);

INSERT INTO store.tasks
SELECT DISTINCT ON (task_id) *, now()::TIMESTAMP
FROM (
    SELECT md5(concat_ws(chr(31), dataset_id::VARCHAR, target, metric,
                         CASE higher_is_better WHEN true THEN 'higher' WHEN false THEN 'lower'
                         ELSE '' END, split))::UUID AS task_id, *
    FROM (SELECT DISTINCT dataset_id, target, metric, higher_is_better, split
          FROM staged WHERE problem IS NULL)
) AS s
WHERE NOT EXISTS (SELECT 1 FROM store.tasks AS t WHERE t.task_id = s.task_id);
