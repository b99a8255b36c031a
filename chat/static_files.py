"""Static files whose names tell their content, for `STORAGES`: a browser keeps them for good and mixes no versions."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from typing import Any, Never, cast

from django.apps import apps
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.apps import StaticFilesConfig
from whitenoise.storage import CompressedManifestStaticFilesStorage

from chat import page_modules


class HashedStaticFilesStorage(CompressedManifestStaticFilesStorage):
    """Names with a hash in them, also where the page's modules import each other.

    They hold while each file that `collectstatic` gathered is the installed one. Before it has run, and after an
    upgrade without it, names are the plain ones, as if there were no hashes.
    """

    max_post_process_passes = 50  # one for each step of the longest chain of imports; it ends when nothing changes
    support_js_module_import_aggregation = True
    # In place of Django's own, which find imports in comments too, and in everybody's scripts.
    _js_module_import_aggregation_patterns = (
        "chat/*.js",
        ((rf"(?m)(?P<matched>(?P<before>{page_modules.IMPORT})(?P<url>[^\"]+)\";)", '%(before)s%(url)s";'),),
    )

    def get_modified_time(self, name: str) -> Never:
        """Not told: `collectstatic` would keep its copy of a newer version when an older one is installed again."""
        raise NotImplementedError

    def post_process(self, paths: dict[str, Any], dry_run: bool = False, **options: Any) -> Iterator[Any]:
        if not dry_run:
            self.manifest_storage.delete(self.manifest_name)  # of other files than are there from now on
        yield from super().post_process(paths, dry_run=dry_run, **options)

    def load_manifest(self) -> tuple[dict[str, str], str]:
        try:
            paths, manifest_hash = super().load_manifest()
        except ValueError:  # half written: it is being gathered at this moment
            return {}, ""
        gathered = ((name, path) for name, path in _installed() if name in paths)
        is_current = all(self._is_copy(name, path) for name, path in gathered)
        return (paths, manifest_hash) if is_current else ({}, "")

    def stored_name(self, name: str) -> str:
        try:
            return super().stored_name(name)
        except ValueError:  # not gathered
            return name

    def _is_copy(self, name: str, path: str) -> bool:
        try:
            return filecmp.cmp(path, self.path(name), shallow=False)
        except OSError:
            return False


def _installed() -> Iterator[tuple[str, str]]:
    """Name and path of every file that `collectstatic` would gather."""
    ignored = cast(StaticFilesConfig, apps.get_app_config("staticfiles")).ignore_patterns
    found: set[str] = set()
    for finder in finders.get_finders():
        for name_there, storage in finder.list(ignored):
            prefix = getattr(storage, "prefix", None)
            name = f"{prefix}/{name_there}" if prefix else name_there
            if name not in found:
                found.add(name)
                yield name, storage.path(name_there)
