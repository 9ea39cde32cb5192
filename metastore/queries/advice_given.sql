-- What was recommended, the oldest first.
SELECT dataset_id::VARCHAR AS dataset_id, metric, algorithm, config_id::VARCHAR AS config_id,
       value, low, high, method, recorded_at
FROM store.recommendations
ORDER BY recorded_at, recommendation_id;
