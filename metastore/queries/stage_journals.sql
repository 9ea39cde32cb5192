-- One row a journal line. A line that does not parse, is of an unknown kind or lacks what its
-- kind needs is a row whose event is NULL.
CREATE OR REPLACE TEMP TABLE journal_lines AS
SELECT * REPLACE (
    CASE WHEN CASE event
        WHEN 'run' THEN run_id IS NOT NULL AND dataset_id IS NOT NULL AND algorithm IS NOT NULL
            AND config_id IS NOT NULL AND status IS NOT NULL AND moment(written_at) IS NOT NULL
        WHEN 'values' THEN run_id IS NOT NULL
        WHEN 'end' THEN run_id IS NOT NULL AND status IS NOT NULL
            AND moment(written_at) IS NOT NULL
        WHEN 'dataset' THEN id IS NOT NULL AND name IS NOT NULL
            AND moment(written_at) IS NOT NULL
        WHEN 'task' THEN id IS NOT NULL AND dataset_id IS NOT NULL AND metric IS NOT NULL
            AND moment(written_at) IS NOT NULL
        WHEN 'space' THEN id IS NOT NULL AND algorithm IS NOT NULL AND text IS NOT NULL
        WHEN 'environment' THEN id IS NOT NULL AND text IS NOT NULL
        WHEN 'metafeatures' THEN dataset_id IS NOT NULL AND moment(written_at) IS NOT NULL
        WHEN 'recommendation' THEN id IS NOT NULL AND dataset_id IS NOT NULL
            AND algorithm IS NOT NULL AND config_id IS NOT NULL
            AND moment(written_at) IS NOT NULL AND recommendation.metric IS NOT NULL
            AND recommendation.position IS NOT NULL AND recommendation.method IS NOT NULL
            AND recommendation.abstained IS NOT NULL AND recommendation.evidence IS NOT NULL
    END THEN event END AS event
)
FROM read_json(
    $files,
    format = 'newline_delimited',
    filename = false,
    ignore_errors = true,
    maximum_object_size = 67108864,
    columns = {
        event: 'VARCHAR', id: 'UUID', name: 'VARCHAR', text: 'VARCHAR', written_at: 'DOUBLE',
        source_id: 'VARCHAR', fingerprint: 'VARCHAR', profile: 'VARCHAR',
        n_rows: 'BIGINT', n_columns: 'BIGINT', metric: 'VARCHAR', higher_is_better: 'BOOLEAN',
        run_id: 'UUID', dataset_id: 'UUID', target: 'VARCHAR', split: 'VARCHAR',
        algorithm: 'VARCHAR', config_id: 'UUID', config: 'VARCHAR', space_id: 'UUID',
        status: 'VARCHAR', seed: 'BIGINT', fidelity: 'DOUBLE', started_at: 'DOUBLE',
        seconds: 'DOUBLE', error: 'VARCHAR', parent_id: 'UUID', environment_id: 'UUID',
        code_version: 'VARCHAR', tags: 'JSON', journal: 'VARCHAR',
        "values": 'STRUCT(metric VARCHAR, "value" VARCHAR, step BIGINT, fold BIGINT, higher_is_better BOOLEAN)[]',
        features: 'STRUCT("name" VARCHAR, family VARCHAR, "value" DOUBLE, status VARCHAR, seconds DOUBLE, extractor VARCHAR, version VARCHAR, message VARCHAR)[]',
        recommendation: 'STRUCT(metric VARCHAR, "position" INTEGER, "value" DOUBLE, low DOUBLE, high DOUBLE, seconds DOUBLE, "method" VARCHAR, abstained BOOLEAN, evidence VARCHAR)'
    }
);
