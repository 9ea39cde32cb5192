-- How many of the staged configs the store has, and whether some are spelled in several ways.
SELECT (SELECT count(*) FROM said_configs SEMI JOIN store.configs USING (config_id)),
       count(config_id) > count(DISTINCT config_id)
FROM said_configs;
