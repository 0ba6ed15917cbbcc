"""OpenAI, or what speaks its API: a tiny chat completion now and then, a list of models otherwise.

The completion is the real thing and costs money, so `Rota` says when it is due. Each check opens a fresh
connection (`Connection: close`): a kept one that died unnoticed would look like an outage.
"""

from __future__ import annotations

from json import JSONDecodeError

import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from health_monitor.domain import ProbeError, Rota
from resilience_contracts import Outcome

from .connection import http_refusal, no_http_answer

# Fewer are refused by models that think before they answer.
COMPLETION_TOKENS = 16


class OpenaiProbe:
    """Probe of OpenAI.

    Args:
        base_url: of the API, such as `https://api.openai.com/v1`.
        api_key: sent as bearer token.
        model: the one that is asked for a completion.
        deadline_s: bound of each step; the caller bounds the whole.
    """

    def __init__(self, base_url: str, api_key: str, model: str, deadline_s: float) -> None:
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            timeout=deadline_s,
            max_retries=0,
            default_headers={"Connection": "close"},
        )
        self._model = model
        self._rota = Rota()

    async def check(self) -> None:
        """Complete a prompt or list the models."""
        rota, self._rota = self._rota, self._rota.after(hit=False)
        try:
            await (self._complete() if rota.full else self._list_models())
        except openai.APIStatusError as error:
            raise _refusal(error) from None
        except openai.APIConnectionError as error:
            raise _unanswered(error) from None
        except (openai.OpenAIError, JSONDecodeError, UnicodeDecodeError) as error:
            raise ProbeError(Outcome.PROTOCOL, type(error).__name__) from None
        self._rota = rota.after(hit=True)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _complete(self) -> None:
        answer: object = await self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "user", "content": "Say ok."}],
            max_completion_tokens=COMPLETION_TOKENS,
        )
        # The client hands on a body of another content type as text.
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise ProbeError(Outcome.PROTOCOL, "not a completion")

    async def _list_models(self) -> None:
        page = await self._client.models.list()
        if not isinstance(getattr(page, "data", None), list):
            raise ProbeError(Outcome.PROTOCOL, "not a list of models")


def _refusal(error: openai.APIStatusError) -> ProbeError:
    return http_refusal(error.status_code, error.response.headers.get("retry-after"))


def _unanswered(error: openai.APIConnectionError) -> ProbeError:
    if isinstance(error, openai.APITimeoutError):
        return ProbeError(Outcome.TIMEOUT, type(error).__name__)
    return no_http_answer(error.__cause__ or error)
