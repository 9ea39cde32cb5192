-- The space that was recorded last for each of some algorithms, and those of the same search, the
-- last first. A space is recorded whenever a run of it is: that of the newest run counts.
WITH newest AS (
    SELECT algorithm, space_id, max(recorded_at) AS recorded_at,
           arg_max(parent_id, recorded_at) AS parent_id
    FROM store.runs
    WHERE space_id IS NOT NULL AND list_contains($algorithms, algorithm)
    GROUP BY algorithm, space_id
), texts AS (
    SELECT space_id, any_value(space) AS space
    FROM store.search_spaces
    GROUP BY space_id
), recorded AS (
    SELECT n.algorithm, n.space_id, n.recorded_at, n.parent_id, t.space
    FROM newest AS n
    JOIN texts AS t USING (space_id)
    UNION ALL
    SELECT algorithm, space_id, max(recorded_at), NULL, any_value(space)
    FROM store.search_spaces
    ANTI JOIN newest USING (algorithm, space_id)
    WHERE list_contains($algorithms, algorithm)
    GROUP BY algorithm, space_id
), last AS (
    SELECT algorithm, space_id, parent_id
    FROM recorded
    QUALIFY row_number() OVER (
        PARTITION BY algorithm ORDER BY recorded_at DESC, space_id DESC
    ) = 1
), searched AS (
    SELECT DISTINCT algorithm, r.space_id
    FROM store.runs AS r
    JOIN last AS l USING (algorithm, parent_id)
)
SELECT r.algorithm, r.space, l.parent_id::VARCHAR AS parent
FROM recorded AS r
JOIN last AS l USING (algorithm)
WHERE r.space_id = l.space_id
   OR (r.algorithm, r.space_id) IN (SELECT (algorithm, space_id) FROM searched)
ORDER BY r.algorithm, r.recorded_at DESC, r.space_id DESC;
