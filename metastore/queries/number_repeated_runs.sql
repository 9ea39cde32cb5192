-- Rows that say exactly the same are repeats: each after the first gets an id of its own.
CREATE OR REPLACE TEMP TABLE repeated_runs AS
SELECT line, md5(concat_ws(chr(31), run_id::VARCHAR, number))::UUID AS run_id
FROM (
    SELECT line, run_id, row_number() OVER (PARTITION BY run_id ORDER BY line) AS number
    FROM staged
    WHERE run_id IN (SELECT run_id FROM staged GROUP BY run_id HAVING count(*) > 1)
)
WHERE number > 1;

UPDATE staged SET run_id = repeated_runs.run_id
FROM repeated_runs WHERE repeated_runs.line = staged.line;
