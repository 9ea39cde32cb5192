-- Datasets as numbers from 0, in an order that does not depend on the run; `asked` says whether a
-- dataset was to be judged by the metric.
CREATE OR REPLACE TEMP TABLE numbered_datasets AS
SELECT dataset_id, (row_number() OVER (ORDER BY dataset_id) - 1)::INTEGER AS dataset,
       dataset_id IN (SELECT dataset_id FROM store.tasks WHERE metric = $metric) AS asked
FROM (SELECT DISTINCT dataset_id FROM store.runs)
