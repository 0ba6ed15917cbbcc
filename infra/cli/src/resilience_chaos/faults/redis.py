"""Faults of Redis by its own settings: no more clients, no more memory, another password."""

from __future__ import annotations

import redis

from .site import Mend, Site

OTHER_PASSWORD = "changed-by-an-experiment"  # noqa: S105 - it is none of ours


def _client(site: Site, password: str | None = None) -> redis.Redis:
    return redis.Redis(
        port=site.state.ports["redis"], password=password, socket_timeout=2, single_connection_client=True
    )


def connections(site: Site, _part: str) -> Mend:
    """Take its only place, so that everybody else is refused."""
    holder = _client(site)
    before = str(holder.config_get("maxclients")["maxclients"])
    holder.config_set("maxclients", "1")
    holder.client_kill_filter(_type="normal", skipme=True)

    def mend() -> None:
        holder.config_set("maxclients", before)
        holder.close()

    return mend


def memory(site: Site, _part: str) -> Mend:
    """Leave it no memory and forbid it to forget: every write is refused."""
    with _client(site) as client:
        before = {name: str(client.config_get(name)[name]) for name in ("maxmemory", "maxmemory-policy")}
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")

    def mend() -> None:
        with _client(site) as client:
            for name, value in before.items():
                client.config_set(name, value)

    return mend


def auth(site: Site, _part: str) -> Mend:
    """Change the password, and hang up on everybody who knew the old one."""
    with _client(site) as client:
        client.config_set("requirepass", OTHER_PASSWORD)
        client.client_kill_filter(_type="normal", skipme=True)

    def mend() -> None:
        with _client(site, OTHER_PASSWORD) as client:
            client.config_set("requirepass", "")

    return mend
