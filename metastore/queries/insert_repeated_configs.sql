-- For a table that spells the same config in several ways.
INSERT INTO store.configs
SELECT config_id, any_value(config)
FROM staged_configs AS s
WHERE config IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM store.configs AS c WHERE c.config_id = s.config_id)
GROUP BY config_id;
