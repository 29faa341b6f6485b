"""A stand-in for W&B's server that keeps views: reports, and workspaces of projects."""

import base64
from typing import Any

from tests.loopback import operation
from tests.wandb_server import WandbServer


class ViewServer(WandbServer):
    """What `wandb_workspaces` asks to save views and to read them back. `projects` are those that it has made."""

    def __init__(self) -> None:
        super().__init__()
        self.projects: list[str] = []
        self.views: dict[str, dict[str, Any]] = {}

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        known = {
            "GetDefaultEntity": self._viewer,
            "GetProjects": self._get_projects,
            "CreateProject": self._create_project,
            "upsertView": self._upsert_view,
            "UpsertView2": self._upsert_view,
            "SpecificReport": self._specific_report,
            "View": self._view,
        }
        if path.endswith("/otel/v1/metrics"):  # wandb's telemetry
            return {}
        name = operation(request.get("query", ""))
        if name not in known:
            return super().answer(path, request)
        self.operations.append(name)
        return {"data": known[name](request.get("variables") or {})}

    def _get_projects(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"models": {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    def _create_project(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["input"]["name"]
        self.projects.append(name)
        return {"upsertModel": {"project": {"id": name, "name": name}, "model": {"id": name}, "inserted": True}}

    def _upsert_view(self, variables: dict[str, Any]) -> dict[str, Any]:
        new = variables.get("id") is None
        made = base64.b64encode(f"View:{len(self.views) + 1}".encode()).decode().rstrip("=")  # as the server's own
        view = {**variables, "id": made if new else variables["id"]}
        self.views[view["id"]] = view
        return {"upsertView": {"view": self._told(view), "inserted": new}}

    def _specific_report(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"view": self._told(self.views[variables["reportId"]])}

    def _view(self, variables: dict[str, Any]) -> dict[str, Any]:
        of_name = [view for view in self.views.values() if view["name"] == variables["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": self._told(view)} for view in of_name]}}}

    def _told(self, view: dict[str, Any]) -> dict[str, Any]:
        own = {key: view[key] for key in ("id", "name", "displayName", "description", "type", "spec")}
        project = {"id": "1", "name": view["projectName"], "entityName": view["entityName"]}
        return {**own, "project": project, "createdAt": None, "updatedAt": None}
