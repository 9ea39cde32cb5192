SELECT metric, bool_or(higher_is_better) AS higher_is_better,
       count(DISTINCT dataset_id) AS datasets
FROM store.tasks
GROUP BY metric
ORDER BY datasets DESC, metric;
