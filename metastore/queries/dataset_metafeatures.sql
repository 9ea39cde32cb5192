SELECT m.name, m.value, m.status, m.seconds
FROM store.latest_metafeatures AS m
JOIN labels AS l USING (dataset_id)
WHERE l.label = $dataset
ORDER BY m.name;
