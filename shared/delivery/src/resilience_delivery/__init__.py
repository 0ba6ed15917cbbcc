"""What a service tells those who do not ask: webhooks and event streams. No word of what is told."""

from __future__ import annotations

from .courier import Courier, News, Newsroom, Sender
from .endpoint import Endpoint
from .frame import Frame, Mailbox
from .lease import KafkaLease, Lease
from .listener import Encode, Listener
from .message import Answer, LogEntry, Message, Outcome
from .sender import AddressGuard, AddressRefusedError, Network, WebhookSender
from .signing_key import SigningKey
from .streams import StreamResponse, Streams, as_events, serve_streams, wire
from .subscriptions import Subscriptions, TooManySubscriptionsError
from .webhook import Condition, Progress, Subscription

__all__ = [
    "AddressGuard",
    "AddressRefusedError",
    "Answer",
    "Condition",
    "Courier",
    "Encode",
    "Endpoint",
    "Frame",
    "KafkaLease",
    "Lease",
    "Listener",
    "LogEntry",
    "Mailbox",
    "Message",
    "Network",
    "News",
    "Newsroom",
    "Outcome",
    "Progress",
    "Sender",
    "SigningKey",
    "StreamResponse",
    "Streams",
    "Subscription",
    "Subscriptions",
    "TooManySubscriptionsError",
    "WebhookSender",
    "as_events",
    "serve_streams",
    "wire",
]
