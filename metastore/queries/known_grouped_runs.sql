-- Runs of several rows are known by their id, the hash of what they say; they join those that
-- `known_single_runs` found among the runs of one row.
INSERT INTO known_runs
SELECT DISTINCT run_id
FROM staged
SEMI JOIN store.runs USING (run_id)
ANTI JOIN known_runs USING (run_id);
