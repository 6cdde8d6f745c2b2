-- Bookings that the demo shows before a business database is connected.
CREATE TABLE accounting_transactions (
    id           text           PRIMARY KEY,
    booked_on    date           NOT NULL,
    account_code text           NOT NULL CHECK (account_code ~ '^[0-9]{4}$'),
    account_name text           NOT NULL,
    description  text           NOT NULL,
    amount       numeric(12, 2) NOT NULL,
    currency     text           NOT NULL DEFAULT 'EUR' CHECK (currency ~ '^[A-Z]{3}$'),
    cost_center  text,
    reference    text,
    created_at   timestamptz    NOT NULL DEFAULT now()
);

CREATE INDEX accounting_transactions_booked_idx ON accounting_transactions (booked_on);
CREATE INDEX accounting_transactions_account_idx ON accounting_transactions (account_code, booked_on);

COMMENT ON TABLE accounting_transactions IS 'Bookings, one row a line of the ledger';
COMMENT ON COLUMN accounting_transactions.amount IS 'Positive: debit, negative: credit';
COMMENT ON COLUMN accounting_transactions.reference IS 'Number of the voucher, where there is one';
