INSERT INTO store.configs
SELECT config_id, config
FROM staged_configs AS s
WHERE config IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM store.configs AS c WHERE c.config_id = s.config_id);
