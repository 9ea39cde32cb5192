-- Rows that agree on everything but metric, step, fold and value are one run; where they repeat
-- the same metric, step and fold, they are several, paired by the order of their values. A run's
-- id is the hash of what all its rows say; exact repeats are numbered. A run of one plain row has
-- the id that it has in a table of one metric, so that such a table may grow by another.
CREATE OR REPLACE TEMP TABLE numbered AS
SELECT line, metric, key, slot, value, alone, row_number() OVER (PARTITION BY key, slot ORDER BY value, line) AS number
FROM (
    SELECT line, metric,
           md5(concat_ws(chr(31), dataset_id::VARCHAR, target, split, algorithm,
                         config_id::VARCHAR, 's' || seed, 'f' || fidelity,
                         't' || epoch_us(started_at), said_status)) AS key,
           concat_ws(chr(31), metric, 'p' || step, 'k' || fold) AS slot,
           CASE WHEN step IS NULL AND fold IS NULL THEN
               md5(concat_ws(chr(31), dataset_id::VARCHAR, target, split, algorithm,
                             config_id::VARCHAR, metric, value::VARCHAR, 's' || seed,
                             'f' || fidelity, 't' || epoch_us(started_at), said_status))
           END AS alone,
           coalesce(value::VARCHAR, '') AS value
    FROM staged
    WHERE problem IS NULL
);

CREATE OR REPLACE TEMP TABLE contents AS
SELECT key, number, alone, coalesce(alone, md5(key || slots)) AS content
FROM (
    SELECT key, number, CASE WHEN count(*) = 1 THEN any_value(alone) END AS alone,
           string_agg(slot || chr(30) || value, chr(29) ORDER BY slot) AS slots
    FROM numbered
    GROUP BY key, number
);

CREATE OR REPLACE TEMP TABLE identified AS
SELECT n.line, n.metric, c.run_id
FROM numbered AS n
JOIN (
    SELECT key, number,
           CASE WHEN alone IS NULL THEN md5(content || nth)
                WHEN nth = 1 THEN alone
                ELSE md5(concat_ws(chr(31), alone::UUID::VARCHAR, nth)) END::UUID AS run_id
    FROM (SELECT *, row_number() OVER (PARTITION BY content ORDER BY number) AS nth FROM contents)
) AS c USING (key, number);

CREATE OR REPLACE TEMP TABLE staged AS
SELECT s.* REPLACE (i.run_id AS run_id)
FROM staged AS s LEFT JOIN identified AS i USING (line, metric);
