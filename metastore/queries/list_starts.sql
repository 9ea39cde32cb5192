-- A start that was added again is one start, as new as the last time.
SELECT initialization_id,
       min(learner) AS learner,
       min(architecture) AS architecture,
       min(weights_sha256) AS weights_sha256,
       min(trained_on) AS trained_on,
       min(details) AS details,
       max(recorded_at) AS recorded_at
FROM store.initializations
GROUP BY initialization_id
ORDER BY recorded_at, initialization_id
