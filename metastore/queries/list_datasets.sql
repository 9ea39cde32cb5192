SELECT l.label AS dataset, any_value(d.source_id) AS source_id, max(d.target) AS target,
       max(d.n_rows) AS rows, max(d.n_columns) AS columns,
       coalesce(sum(r.runs), 0)::BIGINT AS runs, coalesce(max(f.features), 0) AS metafeatures,
       left(max(d.fingerprint), 12) AS fingerprint
FROM store.latest_datasets AS d
JOIN labels AS l USING (dataset_id)
LEFT JOIN (SELECT dataset_id, count(*) AS runs FROM store.runs GROUP BY dataset_id) AS r
  USING (dataset_id)
LEFT JOIN (SELECT dataset_id, count(DISTINCT name) FILTER (status = 'computed') AS features
           FROM store.metafeatures GROUP BY dataset_id) AS f
  USING (dataset_id)
GROUP BY l.label
ORDER BY l.label;
