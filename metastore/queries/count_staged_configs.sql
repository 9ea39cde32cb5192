-- How many staged configs the store has, and whether some are spelled in several ways.
SELECT (SELECT count(*) FROM staged_configs SEMI JOIN store.configs USING (config_id)),
       count(config_id) > count(DISTINCT config_id)
FROM staged_configs;
