CREATE OR REPLACE TEMP TABLE known_runs AS
SELECT DISTINCT run_id FROM staged SEMI JOIN store.runs USING (run_id);
