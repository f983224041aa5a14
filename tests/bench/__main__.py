"""`make bench`: runs every `bench_*.py` of this folder and writes their tables to build/bench/report.md.

One of them alone: python -m tests.bench ingestion; the mixed load for longer: python -m tests.bench mixed --minutes 30
"""

import argparse
import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
BUILD = FOLDER.parents[1] / "build" / "bench"


def main(names: list[str], minutes: float) -> None:
    """Run the named benches, or all; each module's `main()` returns markdown. minutes: of the mixed load."""
    known = {path.stem.removeprefix("bench_"): path.stem for path in sorted(FOLDER.glob("bench_*.py"))}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        sys.exit(f"no bench {', '.join(unknown)}; there are {', '.join(known)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in names or known:
        print(f"bench {name} ...", file=sys.stderr, flush=True)
        bench = importlib.import_module(f"tests.bench.{known[name]}")
        text = bench.main(minutes) if name == "mixed" else bench.main()
        print(text, flush=True)
        parts.append(text)
    report = BUILD / "report.md"
    report.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"written to {report}", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", help="benches; all, if none is named")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the mixed load lasts")
    told = parser.parse_args()
    main(told.names, told.minutes)
