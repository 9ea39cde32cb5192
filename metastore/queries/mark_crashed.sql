-- Runs that are open in a journal whose process is dead.
INSERT INTO store.run_ends
SELECT run_id, 'crashed', now()::TIMESTAMP, NULL,
       'the process that ran it died without reporting an end', now()::TIMESTAMP
FROM store.runs
WHERE status = 'running'
  AND source IN (SELECT unnest($journals))
  AND run_id NOT IN (SELECT run_id FROM store.run_ends)
RETURNING run_id;
