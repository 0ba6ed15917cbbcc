"""Writes the dashboards: `python -m infra.grafana.generate`. Format: Grafana's dashboard schema, version 39."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .panels import DASHBOARDS, Dashboard, Panel, Shape

DIRECTORY = Path(__file__).parent / "dashboards"
SCHEMA_VERSION = 39
COLUMNS = 24
HEIGHT = 8
SOURCE = {"type": "prometheus", "uid": "prometheus"}


def document(dashboard: Dashboard) -> str:
    """Return a dashboard as the JSON that Grafana loads."""
    content = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["resilience"],
        "timezone": "utc",
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "panels": _panels(dashboard),
    }
    return json.dumps(content, indent=2) + "\n"


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    """Lay the panels out in rows of equal height, from left to right."""
    shown, x, y = [], 0, 0
    for number, panel in enumerate(dashboard.panels, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        place = {"h": HEIGHT, "w": panel.width, "x": x, "y": y}
        shown.append({"id": number, "gridPos": place, **_panel(panel)})
        x += panel.width
    return shown


def _panel(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query, "legendFormat": legend}
        for number, (legend, query) in enumerate(panel.queries.items())
    ]
    fields: dict[str, Any] = {"unit": panel.unit}
    if panel.shape is Shape.STATES:
        fields |= {"color": {"mode": "thresholds"}, "thresholds": _steps()}
    return {
        "type": panel.shape.value,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": fields, "overrides": []},
    }


def _steps() -> dict[str, Any]:
    """Colour each rank of a level; 0 and 1 serve as well for what is off and on."""
    colours = ("green", "yellow", "orange", "red", "dark-red")
    return {
        "mode": "absolute",
        "steps": [{"color": colour, "value": rank or None} for rank, colour in enumerate(colours)],
    }


def main() -> None:
    """Write every dashboard."""
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.uid}.json").write_text(document(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
