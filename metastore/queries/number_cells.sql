-- Datasets, algorithms and configs as numbers from 0, in an order that does not depend on the run.
CREATE OR REPLACE TEMP TABLE cell_datasets AS
SELECT dataset_id, row_number() OVER (ORDER BY dataset_id) - 1 AS number
FROM (SELECT DISTINCT dataset_id FROM tried);

CREATE OR REPLACE TEMP TABLE cell_algorithms AS
SELECT algorithm, row_number() OVER (ORDER BY algorithm) - 1 AS code
FROM (SELECT DISTINCT algorithm FROM tried);

CREATE OR REPLACE TEMP TABLE cell_configs AS
SELECT code, config_id, row_number() OVER (ORDER BY code, config_id) - 1 AS number
FROM (SELECT DISTINCT algorithm, config_id FROM tried)
JOIN cell_algorithms USING (algorithm)
SEMI JOIN store.configs USING (config_id);

CREATE OR REPLACE TEMP TABLE cells AS
SELECT d.number::INTEGER AS dataset, c.number::INTEGER AS config, value, repeats, seconds
FROM tried
JOIN cell_datasets AS d USING (dataset_id)
JOIN cell_algorithms USING (algorithm)
JOIN cell_configs AS c USING (code, config_id)
ORDER BY dataset, config;
