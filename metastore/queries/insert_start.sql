INSERT INTO store.initializations VALUES (?::UUID, ?, ?, ?, ?, ?, ?, now()::TIMESTAMP)
