"""What requests may give as a webhook's address."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from resilience_delivery import Endpoint

ENDPOINT = TypeAdapter(Endpoint)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks",
        "http://localhost:8080?x=1",
        "https://10.0.0.1:65535/a?b=c",
        "https://[2001:db8:0:0:0:0:0:1]:8443/",
        f"https://{'a' * 63}.example",
        "https://a--b.xn--bcher-kva.example/",
        f"https://{'.'.join(['a' * 62] * 4)}/",
    ],
)
def test_an_address_that_can_be_asked_is_taken(url: str) -> None:
    assert ENDPOINT.validate_python(url) == url


@pytest.mark.parametrize(
    "host",
    ["shop..example", ".shop.example", "shop.example.", f"{'a' * 64}.example", "-a.example", "a-.example",
     ".".join(["a" * 62] * 4) + ".bb"],
)  # fmt: skip
def test_a_host_that_no_name_can_have_is_refused_with_what_one_has(host: str) -> None:
    with pytest.raises(ValidationError, match=r"host.*1 to 63.*253"):
        ENDPOINT.validate_python(f"https://{host}/hooks")


@pytest.mark.parametrize(
    "url", ["https://a.example:0", "https://a.example:65536", "https://a.example/\n", "https://[::1]/", "https://é.example/"]
)  # fmt: skip
def test_what_no_request_can_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        ENDPOINT.validate_python(url)
