-- no-transaction
CREATE VIEW w AS SELECT 1;
