"""Compares dumps of stores that several runs left behind. Used by scripts/crash and scripts/faults.

A dump maps a table to its rows, and a row maps a column to a value.
"""

import collections
import json

# Columns that hold a clock's time: two undisturbed runs may meet in one second and agree on it.
CLOCKS = {"installed_on", "execution_time", "created_at", "updated_at"}


def normalised(dump, volatile):
    """Sorted rows without the columns that differ from run to run."""
    result = {}
    for table, rows in dump.items():
        kept = [{c: v for c, v in row.items() if (table, c) not in volatile} for row in rows]
        result[table] = sorted(json.dumps(row, sort_keys=True, default=repr) for row in kept)
    return result


def volatile_columns(one, other):
    """Columns whose values differ between two runs that nobody disturbed, and those of clocks."""
    def values(dump):
        columns = collections.defaultdict(list)
        for table, rows in dump.items():
            for row in rows:
                for column, value in row.items():
                    columns[table, column].append(json.dumps(value, sort_keys=True, default=repr))
        return {name: sorted(values) for name, values in columns.items()}

    one, other = values(one), values(other)
    names = one.keys() | other.keys()
    return {name for name in names if name[1] in CLOCKS or one.get(name) != other.get(name)}


def difference(expected, found):
    lines = []
    for table in sorted(expected.keys() | found.keys()):
        want = collections.Counter(expected.get(table, ["no such table"]))
        have = collections.Counter(found.get(table, ["no such table"]))
        lines += [f"  {table}: missing {row[:300]}" for row in (want - have).elements()]
        lines += [f"  {table}: too much {row[:300]}" for row in (have - want).elements()]
    return lines[:20]
