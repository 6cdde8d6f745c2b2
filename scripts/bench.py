"""Times whole commands: wall and CPU seconds and peak memory as the operating system counts them.

Called by scripts/bench: bench.py BINARY OBJECTS. scripts/bench-peers measures in the same way.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 7


def measure(command, folder, expect=0, runs=RUNS):
    """Runs a command some times after a warm-up; gives medians of wall, CPU (s) and the peak memory (MiB)."""
    walls, cpus, peaks = [], [], []
    for number in range(runs + 1):
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        if process.returncode != expect:
            sys.exit(f"{' '.join(command)}: exit {process.returncode}, expected {expect}")
        if number > 0:
            walls.append(wall)
            cpus.append(usage.ru_utime + usage.ru_stime)
            peaks.append(usage.ru_maxrss / 1024)
    return statistics.median(walls), statistics.median(cpus), max(peaks)


def report(name, figures):
    wall, cpu, peak = figures
    print(f"{name:44} wall {wall * 1000:9.1f} ms   cpu {cpu * 1000:9.1f} ms   peak {peak:7.1f} MiB", flush=True)


def run(binary, folder, *arguments):
    done = subprocess.run([binary, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"trueup {' '.join(arguments)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def large_stack(folder, objects):
    """A stack of this many objects on embedded stores."""
    users, rows = objects // 3, objects // 3
    streams = objects - users - rows
    migrations = folder / "migrations"
    migrations.mkdir()
    (migrations / "0001_init.sql").write_text(
        "CREATE TABLE users (id TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, email TEXT, role TEXT,\n"
        "  is_active BOOLEAN NOT NULL DEFAULT TRUE, password_hash TEXT NOT NULL);\n"
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price NUMERIC NOT NULL);\n"
    )
    lines = ["id,name,price"] + [f"{n},item {n},{n}.50" for n in range(rows)]
    (folder / "items.csv").write_text("\n".join(lines) + "\n")
    spec = [
        "version: 1", "stack: large", "environment: dev",
        "flags: { seed_demo_data: true, enable_target_db: false, auto_train_vector: false }",
        "system:", "  url: sqlite://system.db", "  create_database: true", "  migrations: migrations", "  users:",
    ]
    spec += [f"    user{n}: {{ email: user{n}@example.com, role: analyst, password: '${{PASSWORD}}' }}" for n in range(users)]
    spec += ["  seeds:", "    items: { table: items, key: [id], rows: items.csv, mode: insert }"]
    spec += ["cache:", "  url: sqlite://cache.db", "  streams:"]
    spec += [f"    stream{n}: {{ groups: [workers] }}" for n in range(streams)]
    (folder / "stack.yaml").write_text("\n".join(spec) + "\n")


def saved_world_plan(binary, folder, objects):
    """The no-change plan over a saved world of a large stack, which is applied first."""
    large_stack(folder, objects)
    os.environ["PASSWORD"] = "long enough to be a password"
    run(binary, folder, "--quiet", "apply", "--auto-approve")
    run(binary, folder, "--quiet", "observe", "--out", "world.json")
    saved = measure([binary, "--quiet", "plan", "--detailed-exitcode", "--world", "world.json"], folder)
    report(f"no-change plan, saved world, {objects} objects", saved)
    return saved


def main():
    binary, objects = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        report("--version", measure([binary, "--version"], scratch))

        quick = scratch / "quickstart"
        run(binary, scratch, "--quiet", "init", "quickstart")
        run(binary, quick, "--quiet", "apply", "--auto-approve")
        report("no-change plan, quickstart", measure([binary, "--quiet", "plan", "--detailed-exitcode"], quick))

        large = scratch / "large"
        large.mkdir()
        saved_world_plan(binary, large, objects)
        live = measure([binary, "--quiet", "plan", "--detailed-exitcode"], large)
        report(f"no-change plan, live, {objects} objects", live)
        size = (large / "world.json").stat().st_size
        print(f"the saved world has {size / 1024 / 1024:.1f} MiB", flush=True)


if __name__ == "__main__":
    main()
