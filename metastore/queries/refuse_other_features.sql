-- A dataset's first row in a file counts; a later one that says another number of it is refused.
UPDATE staged_features AS s
SET problem = 'in an earlier row with another number', earlier = f.line
FROM (
    SELECT dataset, name, min(line) AS line, arg_min_null(value, line) AS value
    FROM staged_features WHERE problem IS NULL GROUP BY dataset, name
) AS f
WHERE s.problem IS NULL AND s.dataset = f.dataset AND s.name = f.name
  AND s.value IS DISTINCT FROM f.value;
