-- One label for each dataset id: its name, made unique where contents differ. Runs that gave only
-- a name belong to the first dataset of that name whose cells were seen.
CREATE OR REPLACE TEMP VIEW labels AS
WITH firsts AS (
    SELECT name, arg_min(fingerprint, (first_recorded_at, dataset_id))
                 FILTER (fingerprint <> '') AS fingerprint
    FROM store.latest_datasets
    GROUP BY name
)
SELECT d.dataset_id, d.first_recorded_at,
       CASE WHEN coalesce(d.fingerprint, '') = '' OR d.fingerprint = f.fingerprint THEN d.name
            ELSE d.name || '@' || left(regexp_replace(d.fingerprint, '^fp1-', ''), 8) END AS label
FROM store.latest_datasets AS d
LEFT JOIN firsts AS f USING (name);
