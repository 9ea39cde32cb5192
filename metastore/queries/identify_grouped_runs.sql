-- Rows that agree on everything but metric, step, fold and value are one run; where they repeat
-- the same metric, step and fold, they are several, paired by the order of their values. A run's
-- id is the hash of what all its rows say; exact repeats are numbered.
CREATE OR REPLACE TEMP TABLE numbered AS
SELECT line, metric, key, slot, value, row_number() OVER (PARTITION BY key, slot ORDER BY value, line) AS number
FROM (
    SELECT line, metric,
           md5(concat_ws(chr(31), dataset_id::VARCHAR, target, split, algorithm,
                         config_id::VARCHAR, 's' || seed, 'f' || fidelity,
                         't' || epoch_us(started_at), said_status)) AS key,
           concat_ws(chr(31), metric, 'p' || step, 'k' || fold) AS slot,
           coalesce(value::VARCHAR, '') AS value
    FROM staged
    WHERE problem IS NULL
);

CREATE OR REPLACE TEMP TABLE contents AS
SELECT key, number,
       md5(key || string_agg(slot || chr(30) || value, chr(29) ORDER BY slot)) AS content
FROM numbered
GROUP BY key, number;

CREATE OR REPLACE TEMP TABLE identified AS
SELECT n.line, n.metric, c.run_id
FROM numbered AS n
JOIN (
    SELECT key, number,
           md5(content || row_number() OVER (PARTITION BY content ORDER BY number))::UUID AS run_id
    FROM contents
) AS c USING (key, number);

CREATE OR REPLACE TEMP TABLE staged AS
SELECT s.* REPLACE (i.run_id AS run_id)
FROM staged AS s LEFT JOIN identified AS i USING (line, metric);
