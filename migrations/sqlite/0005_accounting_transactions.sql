-- Bookings that the demo shows before a business database is connected.
CREATE TABLE accounting_transactions (
    id           TEXT           NOT NULL PRIMARY KEY,
    booked_on    DATE           NOT NULL CHECK (booked_on = date(booked_on, '+0 days')),
    account_code TEXT           NOT NULL CHECK (account_code GLOB '[0-9][0-9][0-9][0-9]'),
    account_name TEXT           NOT NULL,
    description  TEXT           NOT NULL,
    amount       NUMERIC(12, 2) NOT NULL,       -- positive: debit, negative: credit
    currency     TEXT           NOT NULL DEFAULT 'EUR' CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
    cost_center  TEXT,
    reference    TEXT,                          -- number of the voucher, where there is one
    created_at   TEXT           NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE INDEX accounting_transactions_booked_idx ON accounting_transactions (booked_on);
CREATE INDEX accounting_transactions_account_idx ON accounting_transactions (account_code, booked_on);
