"""Hold snellen against the original authors' own code: whether files load strictly there and give the same numbers.

    python tools/check_originals.py --dinov2 DIR --dinov3 DIR --aim DIR --vit DIR --python PYTHON_WITH_JAX

In: clones of the original repositories, whichever there are, and for ViT a Python that has jax and flax. Out: a table,
and with ``--markdown`` the document that is kept in docs/originals.md. Exit codes: 0 all passed; 1 something did not;
2 wrong usage; 3 nothing was compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

REPOSITORIES = {
    "dinov2": "facebookresearch/dinov2",
    "dinov3": "facebookresearch/dinov3",
    "aim": "apple/ml-aim",
    "vit": "google-research/vision_transformer",
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare snellen with the original authors' code, from clones of it.")
    for option, repository in REPOSITORIES.items():
        parser.add_argument(f"--{option}", type=Path, metavar="DIR", help=f"a clone of github.com/{repository}")
    parser.add_argument(
        "--python", metavar="PATH", default=sys.executable, help="a Python that has jax and flax, for --vit"
    )
    parser.add_argument("--quick", action="store_true", help="shrunken encoders only")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the document there too")
    return parser.parse_args()


def main() -> int:
    """Compare with whatever was given; return the exit code."""
    options = arguments()
    clones = {name: clone for name in REPOSITORIES if (clone := getattr(options, name)) is not None}
    for name in REPOSITORIES.keys() - clones.keys():
        print(f"not given: --{name} (a clone of github.com/{REPOSITORIES[name]})", file=sys.stderr)
    if not clones:
        print("nothing was compared\n  next: clone at least one of the repositories", file=sys.stderr)
        return 3
    from originals import report

    with tempfile.TemporaryDirectory(prefix="originals-") as folder:
        found = compare(clones, options.python, Path(folder), full=not options.quick)
    print(report.text([report.HEAD, *(report.cells(row) for row in found.rows)]), end="\n\n")
    print(report.text([(c.family, "holds" if c.holds else "FAILS", c.text, c.seen) for c in found.claims]))
    if options.markdown:
        options.markdown.write_text(report.markdown(found), encoding="utf-8")
    failed = sum(not row.passed for row in found.rows) + sum(not claim.holds for claim in found.claims)
    print(f"\n{len(found.rows)} comparisons and {len(found.claims)} statements, {failed} failed")
    return int(not found.passed)


def compare(clones: dict[str, Path], python: str, folder: Path, full: bool):  # noqa: ANN201 - report is imported late
    """Compare with every clone that was given."""
    from originals import pytorch, report, settings, shrunken, theirs, vit

    rows, claims = [], []
    versions = report.versions()
    for repo, clone in clones.items():
        print(f"{repo} ...", file=sys.stderr, flush=True)
        theirs.open_clone(repo, clone)
        cases = [case for case in shrunken.cases() if case.repo == repo]
        if repo == "vit":
            found = vit.compare(python, clone, cases, folder, full)
            rows += found.rows
            claims += found.claims
            versions |= found.versions
            continue
        for case in cases:
            rows += pytorch.shrunken(case, folder)
            claims += pytorch.otherwise(case, pytorch.reference(case, folder))
        rows += pytorch.full(repo, folder) if full else ()
        claims += pytorch.names_and_shapes(repo)
        claims += settings.claims(repo, cases, folder)
    commits = {REPOSITORIES[repo]: report.commit(clone) for repo, clone in clones.items()}
    return report.Found(rows, sorted(claims, key=lambda claim: claim.family), commits, versions)


if __name__ == "__main__":
    sys.exit(main())
