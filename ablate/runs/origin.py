"""Whether your code and data have changed since a run was stored. They are not part of its fingerprint."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.errors import InputError
from ablate.runs.code import code, targets
from ablate.runs.once import Once
from ablate.training.images.files import listing

if TYPE_CHECKING:  # imports torch, which comparing code and unchanged files does not need
    from ablate.training.images.own import Data

LISTED = 5  # files named in a message; the others are only counted


def origin(values: dict[str, Any], data: "Data") -> dict[str, Any]:
    """What is recorded of your code in the configuration `values`, and of `data`, which must have been set up."""
    return {
        "code": code(targets(values)),
        "data_checksum": data.checksum(),
        "data_root": absolute(data.root),
        "data_files": data.files(),
    }


def absolute(root: str | None) -> str | None:
    return root and str(Path(root).expanduser().absolute())


def difference(then: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What has changed from one provenance to the other, in words; None if nothing has.

    Only what both have is compared. Records of older versions, and of runs that failed before they began, have less.
    """
    return "; ".join([*_code_changes(then, now), *_data_changes(then, now)]) or None


def is_silent(provenance: dict[str, Any]) -> bool:
    """Whether an older version wrote the provenance, which recorded neither code nor files."""
    return "data_files" not in provenance


class Here:
    """The code and the data on this machine now. What several runs share is examined once.

    may_read  whether data may be read to find out if they have changed. That is needed if their files have other
              names, sizes or times than on record, or if the files are not known, as for a function of yours
    """

    def __init__(self, may_read: bool = True) -> None:
        self.may_read = may_read
        self._once = Once()

    def difference(self, then: dict[str, Any], values: dict[str, Any], root: str | None) -> str | None:
        """What has changed since a run with the provenance `then`, in words; None if nothing has.

        values  the run's configuration
        root    the folder of its data on this machine. Data that are not here count as unchanged.
        """
        now: dict[str, Any] = {"data_root": absolute(root)}
        if then.get("code"):  # if there was none, the same configuration names none now
            names = targets(values)
            now["code"] = self._once("code", names, lambda: code(names))
        if is_silent(then):
            return difference(then, now)
        noted = then["data_files"]
        if noted is None:
            touched = self.may_read
        else:
            places = noted["places"]
            seen = self._once("files", [root, places], lambda: listing(root, places))
            touched = seen is not None and seen != noted["listing"]
        if touched and self.may_read:
            data = {key: value for key, value in values["data"].items() if key != "seed"}
            now |= self._once("data", data, lambda: self._read(values))
        elif touched:
            now["touched"] = True
        return difference(then, now)

    def _read(self, values: dict[str, Any]) -> dict[str, Any]:
        """The provenance of the data now; empty if they are not here; `unreadable` says why they cannot be used."""
        from omegaconf import OmegaConf

        from ablate.training import build
        from ablate.training.images import memory

        self._once("memory", None, memory.forget)
        try:
            data = build.images(OmegaConf.create(values))
            data.prepare_data()
            data.setup("fit")
            return {"data_checksum": data.checksum(), "data_files": data.files()}
        except Exception as error:  # a user's function may raise anything
            if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
                return {}
            return {"unreadable": str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"}


def _code_changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    before, after = then.get("code"), now.get("code")
    if not before or after is None:
        return
    gone = {name: " (gone)" for name in before if name not in after}
    new = {name: " (new)" for name in after if name not in before}
    names = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
    if names:
        listed = ", ".join(name + (gone | new).get(name, "") for name in names[:LISTED])
        more = f" and {len(names) - LISTED} more files" if len(names) > LISTED else ""
        yield f"{listed}{more} changed"


def _data_changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    before, after = then.get("data_checksum"), now.get("data_checksum")
    contents, found = ((p.get("data_files") or {}).get("contents") for p in (then, now))
    roots = (then.get("data_root"), now.get("data_root"))
    # A user's function need not read from the root.
    where = f" in {roots[1]}" if roots[1] and then.get("data_files", {}) is not None else ""
    if now.get("touched"):
        yield f"the data's files{where} have other names, sizes or times"
    elif now.get("unreadable"):
        yield f"the data{where} can no longer be read: {now['unreadable']}"
    elif before and after and before != after:
        was = f"{before} in {roots[0]}" if roots[0] and roots[0] != roots[1] else before
        yield f"the data{where} changed (checksum {was} then, {after} now)"
    elif contents and found and contents != found:
        yield f"the contents of the data's files{where} changed (checksum {contents} then, {found} now)"
