SELECT m.name, m.value, m.status, m.seconds
FROM store.latest_metafeatures AS m
JOIN store.latest_datasets AS d USING (dataset_id)
WHERE d.name = $dataset
ORDER BY m.name;
