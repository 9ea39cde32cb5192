CREATE OR REPLACE TEMP TABLE numbered_algorithms AS
SELECT algorithm, (row_number() OVER (ORDER BY algorithm) - 1)::INTEGER AS number
FROM (SELECT DISTINCT algorithm FROM store.runs)
