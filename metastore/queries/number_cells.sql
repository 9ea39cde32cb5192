-- Datasets and configs as numbers from 0, in an order that does not depend on the run.
CREATE OR REPLACE TEMP TABLE cell_datasets AS
SELECT dataset_id, row_number() OVER (ORDER BY dataset_id) - 1 AS number
FROM (SELECT DISTINCT dataset_id FROM tried);

CREATE OR REPLACE TEMP TABLE cell_configs AS
SELECT algorithm, config_id, row_number() OVER (ORDER BY algorithm, config_id) - 1 AS number
FROM (SELECT DISTINCT algorithm, config_id FROM tried)
SEMI JOIN store.configs USING (config_id);

CREATE OR REPLACE TEMP TABLE cells AS
SELECT d.number::INTEGER AS dataset, c.number::INTEGER AS config, value, repeats, seconds
FROM tried
JOIN cell_datasets AS d USING (dataset_id)
JOIN cell_configs AS c USING (algorithm, config_id)
ORDER BY dataset, config;
