"""What the service does, over ports that adapters implement."""

from __future__ import annotations
