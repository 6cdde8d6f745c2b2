#!/usr/bin/env python3
"""Makes business.db, the sample business database of the quickstart.

A small trading company, Alder & Finch, over 18 months (July 2024 to December 2025): customers, suppliers,
products, invoices, bills, payments, and the balanced double-entry ledger that follows from them.

usage: make_business_db.py [FILE]      write FILE (business.db beside this script)
       make_business_db.py --check     compare business.db with what this script would make

Standard library only. No clock, and one generator with a fixed seed of which only random() is used (the one
method whose sequence Python promises to keep): the content is the same each time and on every machine.
"""

import datetime as dt
import os
import random
import sqlite3
import sys
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

FIRST = dt.date(2024, 7, 1)
LAST = dt.date(2025, 12, 31)
VAT = Decimal("0.19")
CENT = Decimal("0.01")

SCHEMA = """
CREATE TABLE accounts (
    code           TEXT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    type           TEXT NOT NULL CHECK (type IN ('asset', 'liability', 'equity', 'revenue', 'expense')),
    category       TEXT NOT NULL,                     -- line of the balance sheet or the income statement
    normal_balance TEXT NOT NULL CHECK (normal_balance IN ('debit', 'credit')),
    parent_code    TEXT REFERENCES accounts (code),   -- NULL for the five roots
    is_active      BOOLEAN NOT NULL DEFAULT 1
);

CREATE TABLE customers (
    id                 INTEGER PRIMARY KEY,
    number             TEXT NOT NULL UNIQUE,
    name               TEXT NOT NULL,
    segment            TEXT NOT NULL CHECK (segment IN ('retail', 'wholesale', 'public', 'online')),
    city               TEXT NOT NULL,
    country            TEXT NOT NULL,                 -- ISO 3166 alpha-2
    currency           TEXT NOT NULL DEFAULT 'EUR',
    payment_terms_days INTEGER NOT NULL DEFAULT 30,
    credit_limit       NUMERIC(12, 2) NOT NULL,
    email              TEXT,
    customer_since     DATE NOT NULL,
    is_active          BOOLEAN NOT NULL DEFAULT 1
);

CREATE TABLE suppliers (
    id                 INTEGER PRIMARY KEY,
    number             TEXT NOT NULL UNIQUE,
    name               TEXT NOT NULL,
    category           TEXT NOT NULL,
    city               TEXT NOT NULL,
    country            TEXT NOT NULL,
    payment_terms_days INTEGER NOT NULL DEFAULT 30,
    expense_account    TEXT NOT NULL REFERENCES accounts (code),
    is_active          BOOLEAN NOT NULL DEFAULT 1
);

CREATE TABLE products (
    id            INTEGER PRIMARY KEY,
    sku           TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    category      TEXT NOT NULL,
    unit          TEXT NOT NULL DEFAULT 'piece',
    unit_price    NUMERIC(12, 2) NOT NULL CHECK (unit_price > 0),   -- list price in EUR, without VAT
    unit_cost     NUMERIC(12, 2) NOT NULL CHECK (unit_cost > 0),    -- standard cost in EUR
    stock_on_hand INTEGER NOT NULL DEFAULT 0,
    is_active     BOOLEAN NOT NULL DEFAULT 1
);

CREATE TABLE exchange_rates (
    rate_date     DATE NOT NULL,                      -- first day of the month for which it holds
    from_currency TEXT NOT NULL,
    to_currency   TEXT NOT NULL,
    rate          NUMERIC(12, 6) NOT NULL CHECK (rate > 0),
    PRIMARY KEY (rate_date, from_currency, to_currency)
) WITHOUT ROWID;

CREATE TABLE journal_entries (
    id          INTEGER PRIMARY KEY,
    number      TEXT NOT NULL UNIQUE,
    entry_date  DATE NOT NULL,
    source      TEXT NOT NULL CHECK (source IN
                ('opening', 'invoice', 'bill', 'payment', 'payroll', 'depreciation', 'loan', 'tax')),
    reference   TEXT,                                 -- number of the invoice, bill or payment
    description TEXT NOT NULL
);

CREATE TABLE journal_lines (
    id           INTEGER PRIMARY KEY,
    entry_id     INTEGER NOT NULL REFERENCES journal_entries (id),
    line_no      INTEGER NOT NULL,
    account_code TEXT NOT NULL REFERENCES accounts (code),
    debit        NUMERIC(12, 2) NOT NULL DEFAULT 0 CHECK (debit >= 0),
    credit       NUMERIC(12, 2) NOT NULL DEFAULT 0 CHECK (credit >= 0),
    amount       NUMERIC(12, 2) GENERATED ALWAYS AS (round(debit - credit, 2)) VIRTUAL,
    cost_center  TEXT,
    UNIQUE (entry_id, line_no),
    CHECK ((debit = 0) <> (credit = 0))
);

CREATE TABLE invoices (
    id               INTEGER PRIMARY KEY,
    number           TEXT NOT NULL UNIQUE,
    customer_id      INTEGER NOT NULL REFERENCES customers (id),
    journal_entry_id INTEGER NOT NULL UNIQUE REFERENCES journal_entries (id),
    invoice_date     DATE NOT NULL,
    due_date         DATE NOT NULL,
    currency         TEXT NOT NULL,
    exchange_rate    NUMERIC(12, 6) NOT NULL,         -- EUR for one unit of the currency
    net_amount       NUMERIC(12, 2) NOT NULL,         -- in the currency of the invoice
    tax_amount       NUMERIC(12, 2) NOT NULL,
    total_amount     NUMERIC(12, 2) NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('open', 'partly_paid', 'paid')),
    CHECK (due_date >= invoice_date)
);

CREATE TABLE invoice_lines (
    id           INTEGER PRIMARY KEY,
    invoice_id   INTEGER NOT NULL REFERENCES invoices (id),
    line_no      INTEGER NOT NULL,
    product_id   INTEGER NOT NULL REFERENCES products (id),
    quantity     INTEGER NOT NULL CHECK (quantity > 0),
    unit_price   NUMERIC(12, 2) NOT NULL,             -- in the currency of the invoice
    discount_pct NUMERIC(5, 2) NOT NULL DEFAULT 0 CHECK (discount_pct BETWEEN 0 AND 100),
    net_amount   NUMERIC(12, 2) NOT NULL,
    cost_amount  NUMERIC(12, 2) NOT NULL,             -- standard cost of the goods in EUR
    UNIQUE (invoice_id, line_no)
);

CREATE TABLE bills (
    id               INTEGER PRIMARY KEY,
    number           TEXT NOT NULL UNIQUE,
    supplier_id      INTEGER NOT NULL REFERENCES suppliers (id),
    journal_entry_id INTEGER NOT NULL UNIQUE REFERENCES journal_entries (id),
    bill_date        DATE NOT NULL,
    due_date         DATE NOT NULL,
    account_code     TEXT NOT NULL REFERENCES accounts (code),
    net_amount       NUMERIC(12, 2) NOT NULL,
    tax_amount       NUMERIC(12, 2) NOT NULL,
    total_amount     NUMERIC(12, 2) NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('open', 'paid'))
);

CREATE TABLE payments (
    id               INTEGER PRIMARY KEY,
    number           TEXT NOT NULL UNIQUE,
    journal_entry_id INTEGER NOT NULL UNIQUE REFERENCES journal_entries (id),
    payment_date     DATE NOT NULL,
    direction        TEXT NOT NULL CHECK (direction IN ('received', 'made')),
    invoice_id       INTEGER REFERENCES invoices (id),
    bill_id          INTEGER REFERENCES bills (id),
    method           TEXT NOT NULL CHECK (method IN ('bank_transfer', 'direct_debit', 'card')),
    amount           NUMERIC(12, 2) NOT NULL CHECK (amount > 0),    -- in EUR
    CHECK ((direction = 'received') = (invoice_id IS NOT NULL)),
    CHECK ((direction = 'made') = (bill_id IS NOT NULL))
);

CREATE TABLE budgets (
    id           INTEGER PRIMARY KEY,
    account_code TEXT NOT NULL REFERENCES accounts (code),
    month        TEXT NOT NULL CHECK (month GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]'),
    amount       NUMERIC(12, 2) NOT NULL,             -- positive, for revenue and for expense alike
    UNIQUE (account_code, month)
);

CREATE INDEX accounts_parent_idx ON accounts (parent_code);
CREATE INDEX journal_entries_date_idx ON journal_entries (entry_date);
CREATE INDEX journal_lines_account_idx ON journal_lines (account_code, entry_id);
CREATE INDEX invoices_customer_idx ON invoices (customer_id, invoice_date);
CREATE INDEX invoices_open_idx ON invoices (due_date) WHERE status <> 'paid';
CREATE INDEX invoice_lines_product_idx ON invoice_lines (product_id);
CREATE INDEX bills_supplier_idx ON bills (supplier_id, bill_date);
CREATE INDEX bills_open_idx ON bills (due_date) WHERE status <> 'paid';
CREATE INDEX payments_invoice_idx ON payments (invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX payments_bill_idx ON payments (bill_id) WHERE bill_id IS NOT NULL;
CREATE INDEX payments_date_idx ON payments (payment_date);

CREATE VIEW trial_balance AS
SELECT a.code AS account_code, a.name AS account_name, a.type,
       round(sum(l.debit), 2) AS debit, round(sum(l.credit), 2) AS credit, round(sum(l.amount), 2) AS balance
FROM accounts a JOIN journal_lines l ON l.account_code = a.code
GROUP BY a.code, a.name, a.type;

CREATE VIEW monthly_income_statement AS
SELECT strftime('%Y-%m', e.entry_date) AS month, a.type, a.category,
       round(sum(CASE a.type WHEN 'revenue' THEN -l.amount ELSE l.amount END), 2) AS amount
FROM journal_lines l
JOIN journal_entries e ON e.id = l.entry_id
JOIN accounts a ON a.code = l.account_code
WHERE a.type IN ('revenue', 'expense')
GROUP BY month, a.type, a.category;

CREATE VIEW open_receivables AS
SELECT i.id AS invoice_id, i.number, c.name AS customer_name, i.invoice_date, i.due_date,
       round(i.total_amount * i.exchange_rate, 2) AS total_eur,
       round(i.total_amount * i.exchange_rate - coalesce(p.paid, 0), 2) AS open_eur
FROM invoices i
JOIN customers c ON c.id = i.customer_id
LEFT JOIN (SELECT invoice_id, sum(amount) AS paid FROM payments GROUP BY invoice_id) p ON p.invoice_id = i.id
WHERE i.status <> 'paid';
"""

# Code, name, category; the first digit gives the type.
ACCOUNTS = [
    ("1000", "Assets", "Assets"),
    ("1010", "Cash on hand", "Cash"), ("1020", "Bank current account", "Cash"),
    ("1030", "Bank savings account", "Cash"),
    ("1100", "Trade receivables", "Receivables"), ("1110", "Allowance for doubtful accounts", "Receivables"),
    ("1120", "Input VAT", "Tax receivables"), ("1130", "Employee advances", "Receivables"),
    ("1200", "Merchandise inventory", "Inventory"), ("1210", "Goods in transit", "Inventory"),
    ("1300", "Prepaid expenses", "Prepayments"), ("1310", "Deposits paid", "Prepayments"),
    ("1500", "Office equipment", "Fixed assets"), ("1510", "Warehouse equipment", "Fixed assets"),
    ("1520", "Vehicles", "Fixed assets"), ("1530", "Software licences", "Intangible assets"),
    ("1590", "Accumulated depreciation", "Fixed assets"),
    ("2000", "Liabilities", "Liabilities"),
    ("2010", "Trade payables", "Payables"), ("2020", "Accrued expenses", "Accruals"),
    ("2030", "Deferred revenue", "Accruals"), ("2040", "Customer deposits", "Accruals"),
    ("2100", "Output VAT", "Tax payables"), ("2110", "Payroll taxes payable", "Tax payables"),
    ("2120", "Income tax payable", "Tax payables"), ("2130", "Social security payable", "Tax payables"),
    ("2200", "Wages payable", "Payables"), ("2300", "Credit card payable", "Payables"),
    ("2500", "Bank loan", "Long-term debt"), ("2510", "Lease liabilities", "Long-term debt"),
    ("3000", "Equity", "Equity"),
    ("3010", "Share capital", "Equity"), ("3020", "Capital reserve", "Equity"),
    ("3100", "Retained earnings", "Equity"), ("3200", "Dividends paid", "Equity"),
    ("4000", "Revenue", "Revenue"),
    ("4010", "Sales of furniture", "Sales"), ("4020", "Sales of lighting", "Sales"),
    ("4030", "Sales of office supplies", "Sales"), ("4040", "Assembly services", "Services"),
    ("4100", "Shipping income", "Services"), ("4500", "Interest income", "Other income"),
    ("4600", "Foreign exchange gains", "Other income"),
    ("5000", "Expenses", "Expenses"),
    ("5010", "Cost of goods sold", "Cost of sales"), ("5020", "Inbound freight", "Cost of sales"),
    ("5100", "Wages and salaries", "Personnel"), ("5110", "Employer social security", "Personnel"),
    ("5120", "Training", "Personnel"),
    ("5200", "Rent", "Premises"), ("5210", "Electricity and heating", "Premises"),
    ("5220", "Cleaning and maintenance", "Premises"),
    ("5300", "Advertising", "Marketing"), ("5310", "Trade fairs", "Marketing"),
    ("5400", "Software subscriptions", "Administration"), ("5410", "Telephone and internet", "Administration"),
    ("5420", "Office supplies used", "Administration"), ("5430", "Insurance", "Administration"),
    ("5440", "Legal and audit fees", "Administration"), ("5450", "Bank charges", "Administration"),
    ("5460", "Travel", "Administration"), ("5500", "Outbound freight", "Distribution"),
    ("5600", "Depreciation", "Depreciation"), ("5700", "Interest expense", "Financing"),
    ("5710", "Foreign exchange losses", "Financing"), ("5800", "Bad debt expense", "Administration"),
    ("5900", "Income tax", "Income tax"),
]
TYPES = {"1": "asset", "2": "liability", "3": "equity", "4": "revenue", "5": "expense"}
CREDIT_ASSETS = {"1110", "1590"}
DEBIT_EQUITY = {"3200"}
INACTIVE = {"1210", "2040"}

CUSTOMERS = [
    ("Brightwater Interiors", "retail", "Dublin", "IE", "EUR"), ("Kessler Bürobedarf", "wholesale", "Köln", "DE", "EUR"),
    ("Atelier Moreau", "retail", "Lyon", "FR", "EUR"), ("Northgate Council", "public", "Leeds", "GB", "GBP"),
    ("Vandenberg Kantoor", "wholesale", "Utrecht", "NL", "EUR"), ("Casa Olivar", "retail", "Sevilla", "ES", "EUR"),
    ("Harbour & Pine", "online", "Portland", "US", "USD"), ("Studio Lindqvist", "retail", "Malmö", "SE", "EUR"),
    ("Marchetti Arredi", "wholesale", "Bologna", "IT", "EUR"), ("Universität Tannheim", "public", "Tannheim", "DE", "EUR"),
    ("Fielding Schools Trust", "public", "Bristol", "GB", "GBP"), ("Oakline Workspaces", "online", "Chicago", "US", "USD"),
    ("Petit Bureau", "online", "Bruxelles", "BE", "EUR"), ("Hollmann Wohnwelt", "retail", "Hamburg", "DE", "EUR"),
    ("Delgado e Hijos", "wholesale", "Valencia", "ES", "EUR"), ("Ravensworth Hotels", "wholesale", "Edinburgh", "GB", "GBP"),
    ("Nordlys Kontor", "online", "Aarhus", "DK", "EUR"), ("Silva & Matos", "retail", "Porto", "PT", "EUR"),
    ("Clinique des Tilleuls", "public", "Namur", "BE", "EUR"), ("Blue Heron Cafés", "retail", "Cork", "IE", "EUR"),
    ("Steinbach Architekten", "retail", "Stuttgart", "DE", "EUR"), ("Lakeside Library Board", "public", "Boston", "US", "USD"),
    ("Torvald Møbler", "wholesale", "Bergen", "NO", "EUR"), ("Officina Greco", "retail", "Torino", "IT", "EUR"),
    ("Greenfield Nurseries", "online", "Norwich", "GB", "GBP"), ("Zimmer Drei Hostels", "wholesale", "Leipzig", "DE", "EUR"),
    ("Maison Aubert", "retail", "Nantes", "FR", "EUR"), ("Kavanagh Legal", "retail", "Galway", "IE", "EUR"),
    ("Prairie Desk Co.", "online", "Denver", "US", "USD"), ("Gemeente Waterwijk", "public", "Almere", "NL", "EUR"),
]

# Name, category, city, country, terms, expense account, net amount a bill from and to, bills a year.
SUPPLIERS = [
    ("Waldner Holzwerk", "goods", "Rosenheim", "DE", 30, "1200", 18000, 32000, 16),
    ("Lumina Leuchten", "goods", "Iserlohn", "DE", 30, "1200", 8000, 15000, 12),
    ("Papeterie Dubois", "goods", "Lille", "FR", 14, "1200", 2500, 5500, 12),
    ("Falco Sedie", "goods", "Udine", "IT", 45, "1200", 13000, 22000, 10),
    ("Transalp Spedition", "freight", "Innsbruck", "AT", 14, "5020", 500, 1400, 12),
    ("Hansa Paketdienst", "freight", "Bremen", "DE", 14, "5500", 700, 1900, 12),
    ("Immobilien Lindenhof", "rent", "Köln", "DE", 7, "5200", 4200, 4200, 12),
    ("Rheinstrom", "energy", "Köln", "DE", 14, "5210", 450, 1100, 12),
    ("Sauber & Söhne", "services", "Köln", "DE", 14, "5220", 380, 380, 12),
    ("Bergmann Werbung", "marketing", "Düsseldorf", "DE", 30, "5300", 1200, 3800, 8),
    ("Messe Westhalle", "marketing", "Essen", "DE", 30, "5310", 5200, 7400, 2),
    ("Cloudkontor", "software", "Berlin", "DE", 14, "5400", 640, 820, 12),
    ("Telesüd", "telecom", "München", "DE", 14, "5410", 210, 260, 12),
    ("Rheinische Versicherung", "insurance", "Köln", "DE", 14, "5430", 2900, 2900, 4),
    ("Kanzlei Voss", "services", "Köln", "DE", 30, "5440", 900, 3100, 4),
    ("Reisebüro Albers", "travel", "Köln", "DE", 14, "5460", 300, 1500, 8),
    ("Akademie am Dom", "training", "Köln", "DE", 30, "5120", 800, 1600, 4),
    ("Bürohaus Engel", "supplies", "Bonn", "DE", 14, "5420", 120, 420, 6),
]

# Name, category, price, cost, account of its revenue.
PRODUCTS = [
    ("Standing desk Alba 160", "furniture", 649, 382), ("Standing desk Alba 180", "furniture", 719, 425),
    ("Oak desk Fjord", "furniture", 890, 521), ("Meeting table Runde 120", "furniture", 540, 318),
    ("Meeting table Lang 240", "furniture", 1180, 702), ("Task chair Nova", "furniture", 329, 176),
    ("Task chair Nova Plus", "furniture", 419, 231), ("Visitor chair Pico", "furniture", 149, 78),
    ("Bar stool Perch", "furniture", 129, 66), ("Sofa Lounge 2", "furniture", 980, 560),
    ("Bookcase Tall", "furniture", 389, 214), ("Bookcase Low", "furniture", 249, 132),
    ("Drawer unit Trio", "furniture", 219, 118), ("Locker Six", "furniture", 460, 268),
    ("Room divider Felt", "furniture", 299, 151), ("Phone booth Hush", "furniture", 4890, 3105),
    ("Desk lamp Arc", "lighting", 89, 41), ("Desk lamp Beam", "lighting", 129, 62),
    ("Floor lamp Reed", "lighting", 189, 94), ("Pendant Globe", "lighting", 159, 74),
    ("Pendant Line 120", "lighting", 279, 148), ("Ceiling panel 60x60", "lighting", 119, 58),
    ("Track spot set", "lighting", 209, 108), ("Wall light Fold", "lighting", 99, 45),
    ("Copy paper A4, box of 5", "supplies", 24, 14), ("Notebook dotted, pack of 10", "supplies", 39, 19),
    ("Whiteboard 120x90", "supplies", 119, 63), ("Marker set", "supplies", 14, 6),
    ("Ring binder, pack of 20", "supplies", 44, 22), ("Monitor arm", "supplies", 109, 54),
    ("Cable tray", "supplies", 34, 15), ("Foot rest", "supplies", 49, 24),
    ("Desk mat felt", "supplies", 29, 12), ("Waste separation set", "supplies", 79, 38),
    ("Assembly per hour", "services", 58, 34), ("Delivery to the room", "services", 45, 27),
]
REVENUE_ACCOUNT = {"furniture": "4010", "lighting": "4020", "supplies": "4030", "services": "4040"}
SEASON = {1: 8, 2: 9, 3: 11, 4: 10, 5: 10, 6: 9, 7: 8, 8: 7, 9: 12, 10: 12, 11: 13, 12: 9}


def money(value):
    """Rounded to cents, half up."""
    return Decimal(value).quantize(CENT, ROUND_HALF_UP)


class Dice:
    """Chances from one fixed seed."""

    def __init__(self):
        self._random = random.Random(20240701)

    def below(self, limit):
        return int(self._random.random() * limit)

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def pick(self, things):
        return things[self.below(len(things))]

    def chance(self, percent):
        return self.below(100) < percent


class Books:
    """Collects documents and their entries, and writes them in the order of their dates."""

    def __init__(self, database):
        self.database = database
        self.dice = Dice()
        self.rates = {}
        self.entries = []  # (date, order, source, reference, description, lines, document)

    def entry(self, date, source, reference, description, lines, document=None):
        """Lines are (account, signed amount, cost centre): debit positive, credit negative."""
        lines = [(account, money(amount), center) for account, amount, center in lines if money(amount) != 0]
        assert sum(amount for _, amount, _ in lines) == 0, (reference, lines)
        self.entries.append((date, len(self.entries), source, reference, description, lines, document))

    def write_entries(self):
        line_id = 0
        for entry_id, entry in enumerate(sorted(self.entries, key=lambda entry: entry[:2]), start=1):
            date, _, source, reference, description, lines, document = entry
            self.insert("journal_entries", entry_id, f"JE-{entry_id:05d}", date, source, reference, description)
            for line_no, (account, amount, center) in enumerate(lines, start=1):
                line_id += 1
                debit, credit = (amount, Decimal(0)) if amount > 0 else (Decimal(0), -amount)
                self.insert("journal_lines", line_id, entry_id, line_no, account, debit, credit, center)
            if document:
                table, values = document
                self.insert(table, *[entry_id if value is ENTRY else value for value in values])

    def insert(self, table, *values):
        if table == "journal_lines":
            columns = "(id, entry_id, line_no, account_code, debit, credit, cost_center)"
        else:
            columns = ""
        marks = ", ".join("?" * len(values))
        self.database.execute(f"INSERT INTO {table} {columns} VALUES ({marks})", [plain(v) for v in values])


ENTRY = object()


def plain(value):
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def months():
    date = FIRST
    while date <= LAST:
        yield date
        date = (date.replace(day=28) + dt.timedelta(days=4)).replace(day=1)


def month_end(first):
    return (first.replace(day=28) + dt.timedelta(days=4)).replace(day=1) - dt.timedelta(days=1)


def master_data(books):
    for code, name, category in ACCOUNTS:
        kind = TYPES[code[0]]
        debit = kind in ("asset", "expense") and code not in CREDIT_ASSETS or code in DEBIT_EQUITY
        root = code[0] + "000"
        parent = None if code == root else root
        books.insert("accounts", code, name, kind, category, "debit" if debit else "credit", parent,
                     0 if code in INACTIVE else 1)
    for number, (name, segment, city, country, currency) in enumerate(CUSTOMERS, start=1):
        terms = {"retail": 30, "wholesale": 45, "public": 60, "online": 14}[segment]
        ascii_name = "".join(c for c in name.lower() if c.isascii() and c.isalnum())
        email = None if segment == "public" else f"accounts@{ascii_name}.example"
        since = FIRST - dt.timedelta(days=books.dice.between(0, 2000))
        books.insert("customers", number, f"C{1000 + number}", name, segment, city, country, currency, terms,
                     books.dice.between(4, 40) * 2500, email, since, 0 if number == 28 else 1)
    for number, (name, category, city, country, terms, account, *_rest) in enumerate(SUPPLIERS, start=1):
        books.insert("suppliers", number, f"S{2000 + number}", name, category, city, country, terms, account, 1)
    for number, (name, category, price, cost) in enumerate(PRODUCTS, start=1):
        unit = {"services": "hour" if "hour" in name else "delivery"}.get(category, "piece")
        stock = 0 if category == "services" else books.dice.between(0, 240) // 11
        books.insert("products", number, f"AF-{category[:3].upper()}-{number:03d}", name, category, unit, price,
                     cost, stock, 0 if number == 15 else 1)
    drift = {"USD": Decimal("0.92"), "GBP": Decimal("1.17"), "CHF": Decimal("1.05")}
    for first in months():
        for currency, rate in drift.items():
            rate += Decimal(books.dice.between(-120, 120)) / 10000
            drift[currency] = rate
            books.rates[first.strftime("%Y-%m"), currency] = rate
            books.insert("exchange_rates", first, currency, "EUR", rate)
            books.insert("exchange_rates", first, "EUR", currency,
                         (1 / rate).quantize(Decimal("0.000001"), ROUND_HALF_UP))


def opening(books):
    lines = [("1020", 260000, None), ("1030", 60000, None), ("1200", 96000, None), ("1310", 12600, None),
             ("1500", 38000, None), ("1510", 54000, None), ("1520", 42000, None), ("1530", 15000, None),
             ("1590", -51000, None), ("2500", -120000, None), ("3010", -200000, None), ("3020", -50000, None)]
    rest = -sum(amount for _, amount, _ in lines)
    books.entry(FIRST, "opening", None, "Opening balances", [*lines, ("3100", rest, None)])


def sales(books):
    """Invoices with their lines, what they cost, and the payments that came in."""
    dice, number, line_id, paid = books.dice, 0, 0, []
    for first in months():
        for _ in range(SEASON[first.month] + (3 if first.year == 2025 else 0)):
            customer = 1 + dice.below(len(CUSTOMERS))
            name, segment, _, country, currency = CUSTOMERS[customer - 1]
            date = first + dt.timedelta(days=dice.below(month_end(first).day))
            number += 1
            invoice = f"INV-{date.year}-{number:04d}"
            rate = books.rates.get((first.strftime("%Y-%m"), currency), Decimal(1))
            discount = {"retail": 0, "wholesale": 12, "public": 5, "online": 0}[segment]
            net, cost, by_account, lines = Decimal(0), Decimal(0), {}, []
            for line_no in range(1, dice.between(1, 4) + 1):
                product = dice.below(len(PRODUCTS))
                _, category, list_price, unit_cost = PRODUCTS[product]
                quantity = 1 + dice.below(7 if list_price > 900 else 60 if list_price < 60 else 26)
                price = money(list_price / rate)
                amount = money(price * quantity * (100 - discount) / 100)
                line_cost = money(unit_cost * quantity)
                net, cost = net + amount, cost + line_cost
                account = REVENUE_ACCOUNT[category]
                by_account[account] = by_account.get(account, Decimal(0)) + amount
                line_id += 1
                lines.append((line_id, number, line_no, product + 1, quantity, price, discount, amount, line_cost))
            # Sales to other countries of the union are reverse charge, those outside of it exports: no VAT.
            tax = money(net * VAT) if country == "DE" else Decimal(0)
            total = net + tax
            terms = {"retail": 30, "wholesale": 45, "public": 60, "online": 14}[segment]
            due = date + dt.timedelta(days=terms)
            total_eur = money(total * rate)
            credits = [(account, -money(amount * rate), "sales") for account, amount in sorted(by_account.items())]
            tax_line = ("2100", -money(tax * rate), None)
            rounding = -(total_eur + sum(amount for _, amount, _ in credits) + tax_line[1])
            account, amount, center = credits[0]
            credits[0] = (account, amount + rounding, center)

            late = dice.between(-6, 4) if dice.chance(70) else dice.between(5, 75)
            paid_on = max(date + dt.timedelta(days=1), due + dt.timedelta(days=late))
            status, share = "paid", Decimal(1)
            if paid_on > LAST or dice.chance(3):
                status, share = "open", Decimal(0)
            elif dice.chance(6):
                status, share = "partly_paid", Decimal("0.5")
            books.entry(
                date, "invoice", invoice, f"Invoice to {name}",
                [("1100", total_eur, None), *credits, tax_line, ("5010", cost, "sales"), ("1200", -cost, None)],
                ("invoices", [number, invoice, customer, ENTRY, date, due, currency, rate, net, tax, total, status]))
            books.lines.extend(lines)
            if share:
                paid.append((paid_on, number, invoice, name, money(total_eur * share), segment))
    for date, invoice_id, invoice, name, amount, segment in paid:
        method = "card" if segment == "online" else "bank_transfer"
        books.payment(date, "received", invoice_id, None, method, amount, f"{name} pays {invoice}",
                      [("1020", amount, None), ("1100", -amount, None)])


def purchases(books):
    """Bills of suppliers and the payments that went out."""
    dice, due_bills = books.dice, []
    for first in months():
        for supplier, row in enumerate(SUPPLIERS, start=1):
            name, category, _, country, terms, account, low, high, a_year = row
            count = a_year // 12
            if (first.month * (a_year % 12)) % 12 < a_year % 12:
                count += 1
            for _ in range(count):
                date = first + dt.timedelta(days=0 if category == "rent" else dice.below(27))
                net = money(dice.between(low * 100, high * 100)) / 100
                due_bills.append((date, supplier, name, category, country, terms, account, money(net)))
    payments = []
    for number, bill in enumerate(sorted(due_bills, key=lambda bill: bill[:2]), start=1):
        date, supplier, name, category, country, terms, account, net = bill
        reference = f"BILL-{date.year}-{number:04d}"
        taxed = country == "DE" and category != "insurance"
        tax = money(net * VAT) if taxed else Decimal(0)
        due = date + dt.timedelta(days=terms)
        paid_on = due + dt.timedelta(days=dice.between(-3, 2))
        status = "paid" if paid_on <= LAST else "open"
        center = {"goods": None, "marketing": "marketing", "software": "it", "telecom": "it",
                  "freight": "logistics"}.get(category, "administration")
        books.entry(date, "bill", reference, f"Bill of {name}",
                    [(account, net, center), ("1120", tax, None), ("2010", -(net + tax), None)],
                    ("bills", [number, reference, supplier, ENTRY, date, due, account, net, tax, net + tax, status]))
        if status == "paid":
            payments.append((paid_on, number, reference, name, category, net + tax))
    for date, bill_id, reference, name, category, amount in payments:
        method = "direct_debit" if category in ("energy", "telecom", "insurance", "rent") else "bank_transfer"
        books.payment(date, "made", None, bill_id, method, amount, f"Payment of {reference} to {name}",
                      [("2010", amount, None), ("1020", -amount, None)])


def month_ends(books):
    """Payroll, depreciation, the loan, bank charges, VAT and income tax."""
    staff = [("sales", 6800), ("logistics", 4900), ("marketing", 2100), ("it", 2600), ("administration", 3900)]
    loan = Decimal(120000)
    for index, first in enumerate(months()):
        end, label = month_end(first), first.strftime("%B %Y")
        raise_ = Decimal("1.03") if first.year == 2025 else Decimal(1)
        wages = [("5100", money(gross * raise_), center) for center, gross in staff]
        gross = sum(amount for _, amount, _ in wages)
        social, tax = money(gross * Decimal("0.21")), money(gross * Decimal("0.18"))
        withheld = money(gross * Decimal("0.20"))
        books.entry(end, "payroll", None, f"Payroll {label}",
                    [*wages, ("5110", social, "administration"), ("2110", -tax, None),
                     ("2130", -(social + withheld), None), ("2200", -(gross - tax - withheld), None)])
        books.entry(end, "payroll", None, f"Wages paid {label}",
                    [("2200", gross - tax - withheld, None), ("2110", tax, None),
                     ("2130", social + withheld, None), ("1020", -(gross + social), None)])
        books.entry(end, "depreciation", None, f"Depreciation {label}",
                    [("5600", 1450, "logistics"), ("5600", 640, "administration"), ("1590", -2090, None)])
        interest = money(loan * Decimal("0.048") / 12)
        books.entry(end, "loan", None, f"Loan instalment {label}",
                    [("2500", 2000, None), ("5700", interest, "administration"), ("1020", -(2000 + interest), None)])
        loan -= 2000
        books.entry(end, "loan", None, f"Bank charges and interest {label}",
                    [("5450", money(18 + index % 5), "administration"), ("1030", money("62.50"), None),
                     ("4500", money("-62.50"), None), ("1020", -money(18 + index % 5), None)])
        if first.month in (3, 6, 9, 12):
            until = [line for entry in books.entries if entry[0] <= end for line in entry[5]]
            output = -sum(amount for account, amount, _ in until if account == "2100")
            input_ = sum(amount for account, amount, _ in until if account == "1120")
            books.entry(end, "tax", None, f"VAT settlement until {label}",
                        [("2100", output, None), ("1120", -input_, None), ("1020", input_ - output, None)])
            books.entry(end, "tax", None, f"Income tax instalment until {label}",
                        [("5900", 4500, "administration"), ("1020", -4500, None)])


def budgets(books):
    """One amount a month for every account of the income statement that is used."""
    plan = {"4010": 86000, "4020": 14000, "4030": 8000, "4040": 2600, "5010": 64000, "5020": 950, "5100": 20500,
            "5110": 4300, "5120": 400, "5200": 4200, "5210": 800, "5220": 380, "5300": 1700, "5310": 1000,
            "5400": 720, "5410": 230, "5420": 150, "5430": 970, "5440": 700, "5460": 600, "5500": 1300,
            "5600": 2090, "5700": 430, "5900": 1500}
    number = 0
    for first in months():
        growth = Decimal("1.06") if first.year == 2025 else Decimal(1)
        for account, amount in plan.items():
            fixed = account in ("5200", "5220", "5600")
            number += 1
            books.insert("budgets", number, account, first.strftime("%Y-%m"),
                         money(amount if fixed else (amount * growth)))


class Company(Books):
    """The books, with invoice lines and payments that are numbered when all are known."""

    def __init__(self, database):
        super().__init__(database)
        self.lines = []
        self.payments = []

    def payment(self, *payment):
        self.payments.append(payment)

    def number_payments(self):
        for number, payment in enumerate(sorted(self.payments, key=lambda p: (p[0], p[6])), start=1):
            date, direction, invoice_id, bill_id, method, amount, description, lines = payment
            reference = f"PAY-{date.year}-{number:04d}"
            values = [number, reference, ENTRY, date, direction, invoice_id, bill_id, method, amount]
            self.entry(date, "payment", reference, description, lines, ("payments", values))


def build(database):
    database.executescript("PRAGMA page_size = 4096; PRAGMA journal_mode = DELETE;" + SCHEMA)
    database.execute("PRAGMA foreign_keys = OFF")  # documents and entries refer to each other across tables
    books = Company(database)
    with database:
        master_data(books)
        opening(books)
        sales(books)
        purchases(books)
        books.number_payments()
        month_ends(books)
        books.write_entries()
        for line in books.lines:
            books.insert("invoice_lines", *line)
        budgets(books)
    check(database)
    database.execute("VACUUM")


def check(database):
    """What must be true of any books."""

    def one(sql):
        return database.execute(sql).fetchone()[0]

    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert one("PRAGMA integrity_check") == "ok"
    assert one("SELECT count(*) FROM (SELECT 1 FROM journal_lines GROUP BY entry_id"
               " HAVING abs(sum(debit) - sum(credit)) > 0.004)") == 0, "an entry is not balanced"
    assert one("SELECT count(*) FROM journal_entries WHERE entry_date NOT BETWEEN"
               f" '{FIRST}' AND '{LAST}'") == 0, "an entry lies outside the 18 months"
    receivables = one("SELECT sum(amount) FROM journal_lines WHERE account_code = '1100'")
    assert abs(receivables - one("SELECT sum(open_eur) FROM open_receivables")) < 0.01, "receivables differ"
    assert one("SELECT min(total) FROM (SELECT sum(amount) AS total FROM journal_lines GROUP BY account_code"
               " HAVING account_code = '1200')") > 0, "more goods sold than bought"


def main(arguments):
    beside = Path(__file__).resolve().parent / "business.db"
    if arguments == ["--check"]:
        wanted = sqlite3.connect(":memory:")
        build(wanted)
        there = sqlite3.connect(f"{beside.as_uri()}?mode=ro", uri=True)
        if list(wanted.iterdump()) != list(there.iterdump()):
            sys.exit(f"{beside.name} is not what {Path(__file__).name} makes")
        return
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.exit(__doc__)
    file = Path(arguments[0]) if arguments else beside
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    database = sqlite3.connect(new)
    build(database)
    database.close()
    os.replace(new, file)


if __name__ == "__main__":
    main(sys.argv[1:])
