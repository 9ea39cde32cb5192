-- For each staged metric: its direction in the store, that of its first row in the file,
-- whether rows disagree, and whether some say nothing.
WITH in_file AS (
    SELECT metric,
           arg_min(higher_is_better, line) AS first,
           coalesce(bool_or(higher_is_better) <> bool_and(higher_is_better), false) AS mixed,
           count(*) > count(higher_is_better) AS any_missing
    FROM staged
    WHERE metric IS NOT NULL
    GROUP BY metric
), in_store AS (
    SELECT metric, arg_max(higher_is_better, (priority, recorded_at)) AS direction
    FROM (
        SELECT metric, higher_is_better, 1 AS priority, recorded_at FROM store.metric_directions
        UNION ALL
        SELECT metric, higher_is_better, 0, recorded_at FROM store.tasks
        WHERE higher_is_better IS NOT NULL
    )
    GROUP BY metric
)
SELECT metric, direction, first, mixed, any_missing
FROM in_file LEFT JOIN in_store USING (metric)
ORDER BY metric;
