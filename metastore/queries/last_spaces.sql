-- The space that was recorded last for an algorithm, and those of the same search, the last first.
-- A space is recorded whenever a run of it is: that of the newest run counts.
WITH newest AS (
    SELECT space_id, max(recorded_at) AS recorded_at
    FROM store.runs
    WHERE algorithm = $algorithm AND space_id IS NOT NULL
    GROUP BY space_id
), recorded AS (
    SELECT s.space_id, any_value(s.space) AS space,
           coalesce(any_value(n.recorded_at), max(s.recorded_at)) AS recorded_at
    FROM store.search_spaces AS s
    LEFT JOIN newest AS n USING (space_id)
    WHERE s.algorithm = $algorithm OR n.space_id IS NOT NULL
    GROUP BY s.space_id
), last AS (
    SELECT space_id FROM recorded ORDER BY recorded_at DESC, space_id DESC LIMIT 1
), search AS (
    SELECT arg_max(parent_id, recorded_at) AS parent_id
    FROM store.runs
    WHERE algorithm = $algorithm AND space_id IN (SELECT space_id FROM last)
)
SELECT space, (SELECT parent_id FROM search)::VARCHAR AS parent
FROM recorded
WHERE space_id IN (SELECT space_id FROM last)
   OR space_id IN (SELECT space_id FROM store.runs
                   WHERE algorithm = $algorithm
                     AND parent_id = (SELECT parent_id FROM search))
ORDER BY recorded_at DESC, space_id DESC;
