-- Every table is append-only. Ids are UUIDv7 or content hashes, nothing is a key, and
-- "latest wins" is a view: the same statements run on a file, a server and a lake.

CREATE TABLE datasets (
    dataset_id UUID NOT NULL,        -- md5(name, fingerprint)
    name VARCHAR NOT NULL,
    source_id VARCHAR,               -- such as openml:31
    fingerprint VARCHAR,             -- NULL where the cells were never seen
    profile VARCHAR,                 -- JSON for near-duplicate detection, no raw cell values
    target VARCHAR,
    n_rows BIGINT,
    n_columns BIGINT,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE tasks (
    task_id UUID NOT NULL,           -- md5(dataset_id, target, metric, direction, split)
    dataset_id UUID NOT NULL,
    target VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    higher_is_better BOOLEAN,        -- NULL where nobody said
    split VARCHAR NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE metafeatures (
    dataset_id UUID NOT NULL,
    name VARCHAR NOT NULL,
    family VARCHAR NOT NULL,         -- simple, missing, categorical, statistical, ...
    value DOUBLE,                    -- NULL unless status is computed
    status VARCHAR NOT NULL,         -- computed, timed_out, not_applicable, failed
    seconds DOUBLE,
    extractor VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    message VARCHAR,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE search_spaces (
    space_id UUID NOT NULL,          -- md5(space)
    algorithm VARCHAR NOT NULL,
    space VARCHAR NOT NULL,          -- JSON, Optuna's distributions
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE configs (
    config_id UUID NOT NULL,         -- md5(config)
    config VARCHAR NOT NULL          -- canonical JSON
);

CREATE TABLE environments (
    environment_id UUID NOT NULL,    -- md5(environment)
    environment VARCHAR NOT NULL     -- JSON: versions and machine, no secrets, no paths
);

CREATE TABLE runs (
    run_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    target VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    algorithm VARCHAR NOT NULL,
    config_id UUID NOT NULL,
    space_id UUID,
    status VARCHAR NOT NULL,         -- as first recorded; run_ends has what came later
    seed BIGINT,
    fidelity DOUBLE,
    started_at TIMESTAMP,
    seconds DOUBLE,
    error VARCHAR,
    parent_id UUID,
    environment_id UUID,
    code_version VARCHAR,
    tags VARCHAR,                    -- JSON object of strings
    source VARCHAR,                  -- which journal or file it came from
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE run_ends (
    run_id UUID NOT NULL,
    status VARCHAR NOT NULL,
    ended_at TIMESTAMP,
    seconds DOUBLE,
    error VARCHAR,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE metric_values (
    run_id UUID NOT NULL,
    metric VARCHAR NOT NULL,
    step BIGINT,                     -- NULL for a final result
    fold BIGINT,                     -- NULL for the value over all folds
    value DOUBLE NOT NULL,           -- in the metric's own direction; may be NaN or infinite
    higher_is_better BOOLEAN
);

CREATE TABLE metric_directions (     -- what a person said, over what runs say
    metric VARCHAR NOT NULL,
    higher_is_better BOOLEAN NOT NULL,
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE initializations (
    initialization_id UUID NOT NULL,
    learner VARCHAR NOT NULL,
    architecture VARCHAR NOT NULL,   -- JSON
    weights_file VARCHAR NOT NULL,   -- safetensors, relative to the store's folder
    weights_sha256 VARCHAR NOT NULL,
    trained_on VARCHAR NOT NULL,     -- JSON list of dataset ids
    details VARCHAR,                 -- JSON: input shape, normalisation, accuracy, cost, licence
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE recommendations (
    recommendation_id UUID NOT NULL,
    dataset_id UUID NOT NULL,
    metric VARCHAR NOT NULL,
    algorithm VARCHAR NOT NULL,
    config_id UUID NOT NULL,
    position INTEGER NOT NULL,       -- 1 is the first to run
    value DOUBLE,
    low DOUBLE,
    high DOUBLE,
    seconds DOUBLE,
    method VARCHAR NOT NULL,
    abstained BOOLEAN NOT NULL,
    evidence VARCHAR NOT NULL,       -- JSON
    recorded_at TIMESTAMP NOT NULL
);

CREATE TABLE journals (
    journal VARCHAR NOT NULL,
    absorbed_bytes BIGINT NOT NULL,
    alive BOOLEAN NOT NULL,          -- whether its process was still writing
    recorded_at TIMESTAMP NOT NULL
);

CREATE VIEW latest_datasets AS
SELECT dataset_id,
       arg_max(name, recorded_at) AS name,
       arg_max(source_id, recorded_at) AS source_id,
       arg_max(fingerprint, recorded_at) AS fingerprint,
       arg_max(profile, recorded_at) AS profile,
       arg_max(target, recorded_at) AS target,
       arg_max(n_rows, recorded_at) AS n_rows,
       arg_max(n_columns, recorded_at) AS n_columns,
       min(recorded_at) AS first_recorded_at
FROM datasets
GROUP BY dataset_id;

-- A process that was taken for dead and then reports its own end is believed.
CREATE VIEW latest_run_ends AS
SELECT run_id,
       arg_max(status, (status <> 'crashed', recorded_at)) AS status,
       arg_max_null(ended_at, (status <> 'crashed', recorded_at)) AS ended_at,
       arg_max_null(seconds, (status <> 'crashed', recorded_at)) AS seconds,
       arg_max_null(error, (status <> 'crashed', recorded_at)) AS error
FROM run_ends
GROUP BY run_id;

CREATE VIEW run_states AS
SELECT r.run_id, r.dataset_id, r.target, r.split, r.algorithm, r.config_id, r.space_id,
       coalesce(e.status, r.status) AS status,
       r.seed, r.fidelity, r.started_at,
       coalesce(e.seconds, r.seconds) AS seconds,
       coalesce(e.error, r.error) AS error,
       r.parent_id, r.environment_id, r.code_version, r.tags, r.source, r.recorded_at
FROM runs AS r
LEFT JOIN latest_run_ends AS e USING (run_id);

CREATE VIEW latest_metafeatures AS
SELECT dataset_id, name,
       arg_max(family, recorded_at) AS family,
       arg_max(CASE WHEN value IS NULL THEN 'NaN'::DOUBLE ELSE value END, recorded_at) AS value,
       arg_max(status, recorded_at) AS status,
       arg_max(seconds, recorded_at) AS seconds,
       arg_max(extractor, recorded_at) AS extractor,
       arg_max(version, recorded_at) AS version
FROM metafeatures
GROUP BY dataset_id, name;

CREATE VIEW latest_journals AS
SELECT journal, max(absorbed_bytes) AS absorbed_bytes,
       arg_max(alive, recorded_at) AS alive, max(recorded_at) AS recorded_at
FROM journals
GROUP BY journal;

CREATE VIEW recommendation_outcomes AS
SELECT p.recommendation_id, r.run_id, r.status, v.value
FROM recommendations AS p
JOIN run_states AS r
  ON r.dataset_id = p.dataset_id AND r.algorithm = p.algorithm AND r.config_id = p.config_id
 AND r.recorded_at >= p.recorded_at
LEFT JOIN metric_values AS v
  ON v.run_id = r.run_id AND v.metric = p.metric AND v.step IS NULL AND v.fold IS NULL;
