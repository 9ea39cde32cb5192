SELECT metric, coalesce(any_value(s.higher), bool_or(t.higher_is_better)) AS higher_is_better,
       count(DISTINCT dataset_id) AS datasets
FROM store.tasks AS t
LEFT JOIN (SELECT metric, arg_max(higher_is_better, recorded_at) AS higher
           FROM store.metric_directions GROUP BY metric) AS s USING (metric)
GROUP BY metric
ORDER BY datasets DESC, metric;
