"""The vocabulary of Retail Resilience: levels, health, features, events, policy and how they relate.

Pure: no I/O, no clock, no randomness of its own.
"""

from __future__ import annotations

from .codec import Encoded, Envelope, decode, encode, schema_uri, tombstone
from .errors import CodecError, ContractsError, PolicyError, UnknownEventError
from .event_types import EVENTS
from .events import (
    LEVEL_TARGET,
    AdjustmentCommand,
    AuditRecorded,
    AutomaticFeature,
    BreakerReport,
    DependencyState,
    Event,
    HealthObserved,
    HoldSet,
    LevelChanged,
    LevelHold,
    LevelState,
    Observation,
    Pending,
    ProbeReport,
    Recovery,
    RolledUp,
    RollUpRule,
    VersionPart,
    format_time,
    hold_key,
)
from .feature import Because, FeatureState, worst
from .flag import Condition, FlagRule, FlagType, Target, prerequisite_order
from .health import BreakerState, Health, Outcome
from .inventory_events import (
    BackInStock,
    CountCommand,
    LedgerRecorded,
    LowStock,
    PlaceStock,
    RowsWritten,
    RowWrite,
    StockState,
)
from .level import DecidedBy, Level, Version
from .policy import (
    BreakerPolicy,
    DependencyPolicy,
    EarlyWarning,
    FeatureRule,
    Policy,
    default_policy,
    default_policy_text,
    parse_policy,
    reachable_sums,
)
from .region import Regions
from .resolver import Resolution, resolve, resolve_unknown, retry_after_s
from .roll_up import RollUp, rolled_up
from .scope import is_beneath, lineage
from .topics import Topic, dead_letter_topic
from .view import Applied, FeatureView, LevelView, Saved, View

__all__ = [
    "EVENTS",
    "LEVEL_TARGET",
    "AdjustmentCommand",
    "Applied",
    "AuditRecorded",
    "AutomaticFeature",
    "BackInStock",
    "Because",
    "BreakerPolicy",
    "BreakerReport",
    "BreakerState",
    "CodecError",
    "Condition",
    "ContractsError",
    "CountCommand",
    "DecidedBy",
    "DependencyPolicy",
    "DependencyState",
    "EarlyWarning",
    "Encoded",
    "Envelope",
    "Event",
    "FeatureRule",
    "FeatureState",
    "FeatureView",
    "FlagRule",
    "FlagType",
    "Health",
    "HealthObserved",
    "HoldSet",
    "LedgerRecorded",
    "Level",
    "LevelChanged",
    "LevelHold",
    "LevelState",
    "LevelView",
    "LowStock",
    "Observation",
    "Outcome",
    "Pending",
    "PlaceStock",
    "Policy",
    "PolicyError",
    "ProbeReport",
    "Recovery",
    "Regions",
    "Resolution",
    "RollUp",
    "RollUpRule",
    "RolledUp",
    "RowWrite",
    "RowsWritten",
    "Saved",
    "StockState",
    "Target",
    "Topic",
    "UnknownEventError",
    "Version",
    "VersionPart",
    "View",
    "dead_letter_topic",
    "decode",
    "default_policy",
    "default_policy_text",
    "encode",
    "format_time",
    "hold_key",
    "is_beneath",
    "lineage",
    "parse_policy",
    "prerequisite_order",
    "reachable_sums",
    "resolve",
    "resolve_unknown",
    "retry_after_s",
    "rolled_up",
    "schema_uri",
    "tombstone",
    "worst",
]
