-- The space that was recorded last for an algorithm, and those of the same search, the last first.
WITH recorded AS (
    SELECT space_id, space, recorded_at FROM store.search_spaces WHERE algorithm = $algorithm
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
