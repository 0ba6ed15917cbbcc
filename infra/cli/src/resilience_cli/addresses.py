"""Where everything is, for people."""

from __future__ import annotations

from pathlib import Path

from .console import out
from .stack import STANDBY, Place, Ports
from .stack.sockets import LOOPBACK


def addresses(ports: Ports, root: Path) -> dict[str, str]:
    """Return the addresses of a stack; no password is in them, only where it is."""
    place = Place(root)
    second = {STANDBY: f"{LOOPBACK}:{ports[STANDBY]}, the same password"} if STANDBY in ports else {}
    return {
        "inventory-api": f"http://{LOOPBACK}:{ports['inventory-api']}/docs",
        "console": f"http://{LOOPBACK}:{ports['flag-service']}/",
        "health-monitor": f"http://{LOOPBACK}:{ports['health-monitor']}/health/ready",
        "degradation-engine": f"http://{LOOPBACK}:{ports['degradation-engine']}/health/ready",
        "kafka": f"{LOOPBACK}:{ports['kafka']}",
        "postgresql": f"postgresql://inventory@{LOOPBACK}:{ports['postgresql']}/inventory"
        f" (password in {place.secret('postgresql.password')})",
        **second,
        "redis": f"redis://{LOOPBACK}:{ports['redis']}/0",
        "s3": f"http://{LOOPBACK}:{ports['s3']}",
        "openai stand-in": f"http://{LOOPBACK}:{ports['openai']}/v1 (orders: PUT /control)",
        "operator key": str(place.secret("operator.key")),
        "logs": str(root / "logs"),
    }


def print_addresses(ports: Ports, root: Path) -> None:
    """Write the addresses as a list."""
    rows = addresses(ports, root)
    width = max(map(len, rows))
    for name, where in rows.items():
        out.print(f"  {name:<{width}}  {where}", soft_wrap=True, markup=False)
