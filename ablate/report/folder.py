"""A report's folder: the files that a report makes, and no others, are written and replaced there."""

import json
import re
from pathlib import Path

from ablate.errors import InputError
from ablate.report import data_sets, latex, page, tables
from ablate.report.contents import Contents
from ablate.report.drawing import paper
from ablate.report.latex import Paper

TEXTS = ("index.html", "comparison.json", "table.md", "table.tex", "data_sets.md", "data_sets.tex")
MARKER = ".report"  # in the folder of a report: the files that it has made, one a line
_OWN = re.compile(rf"{'|'.join(map(re.escape, TEXTS))}|figures/[^/\\]+\.(svg|pdf)")
# What the drawings of versions without a marker were called.
_DRAWN = re.compile(r"(curve|against|gradients?|interactions?|main_effects|differences|variance)(_|$)")


def write(made: Contents, folder: Path, table: Paper | None = None, as_pdf: bool = False) -> None:
    """index.html, comparison.json, table.md, table.tex and figures/*.svg, of several data sets data_sets.md and
    data_sets.tex; what an earlier report has more goes.

    table   what table.tex has, where that is not the usual
    as_pdf  the figures as PDF too, which takes a fifth of a second each
    """
    alone = {figure.name: paper.with_legend(figure.drawing, made.labels) for figure in made.figures}
    files: dict[str, str | bytes] = {
        "index.html": page.render(made),
        "comparison.json": json.dumps(tables.as_json(made), indent=1, allow_nan=False) + "\n",
        "table.md": tables.markdown(made),
        "table.tex": latex.table(made, table),
        **_of_data_sets(made),
        **{f"figures/{name}.svg": str(drawing) for name, drawing in alone.items()},
        **{
            f"figures/{name}.pdf": paper.pdf(drawing)
            for name, drawing in alone.items()
            if as_pdf and paper.can(drawing)
        },
    }
    try:
        before = _made_before(folder)
        if foreign := sorted(name for name in files if name not in before and (folder / name).exists()):
            raise InputError(
                f"--out {folder} holds {', '.join(foreign)}, which no report has made: choose another folder, or move"
                " that away."
            )
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("".join(f"{name}\n" for name in sorted({*before, *files})), encoding="utf-8")
        for name in before - files.keys():
            (folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (folder / MARKER).write_text("".join(f"{name}\n" for name in sorted(files)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {folder} cannot be written ({error.strerror}).") from error


def _of_data_sets(made: Contents) -> dict[str, str]:
    if made.across is None:
        return {}
    return {
        "data_sets.md": data_sets.markdown(made.across, made.comparison),
        "data_sets.tex": data_sets.latex(made.across, made.comparison),
    }


def _made_before(folder: Path) -> set[str]:
    """The files in `folder` that a report has made: by its marker, or, of an older version, by what they say."""
    if (folder / MARKER).is_file():
        return {name for name in (folder / MARKER).read_text(encoding="utf-8").splitlines() if _OWN.fullmatch(name)}
    try:
        comparison = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(comparison, dict) or "variants" not in comparison:
        return set()
    drawings = [path for path in (folder / "figures").glob("*.svg") if path.read_bytes()[:4] == b"<svg"]
    return {*TEXTS, *(f"figures/{path.name}" for path in drawings if _DRAWN.match(path.stem))}
