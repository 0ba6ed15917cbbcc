"""Documents that are made once for as long as the state is the same."""

from __future__ import annotations

from flag_service.http.documents import KEPT, Documents


def test_names_without_end_are_not_kept_without_end() -> None:
    made = list[str]()
    documents = Documents(lambda: 1)

    def text(name: str) -> bytes:
        made.append(name)
        return name.encode()

    for number in range(2 * KEPT):
        documents.get(f"store-{number}", lambda: text(f"store-{number}"))  # noqa: B023 - called at once
    documents.get("store-0", lambda: text("store-0"))
    documents.get("store-0", lambda: text("store-0"))

    assert made.count("store-0") == 2
    assert len(made) == 2 * KEPT + 1
