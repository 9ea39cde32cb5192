-- Values that the store has not, or has another number of.
INSERT INTO store.metafeatures
SELECT md5(dataset || chr(31))::UUID, name, 'imported', value,
       CASE WHEN value IS NULL THEN 'not_applicable' ELSE 'computed' END,
       NULL, ?, '1', NULL, now()::TIMESTAMP
FROM (SELECT DISTINCT dataset, name, value FROM staged_features) AS s
WHERE NOT EXISTS (
    SELECT 1 FROM store.latest_metafeatures AS m
    WHERE m.dataset_id = md5(s.dataset || chr(31))::UUID AND m.name = s.name
      AND m.value IS NOT DISTINCT FROM coalesce(s.value, 'NaN'::DOUBLE)
);
