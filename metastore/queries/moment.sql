-- A journal's seconds since 1970 as a timestamp.
CREATE OR REPLACE TEMP MACRO moment(seconds) AS
    make_timestamp(CASE WHEN seconds BETWEEN -6e10 AND 2e11 THEN (seconds * 1e6)::BIGINT END);
