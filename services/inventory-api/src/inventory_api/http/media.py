"""Routes of images and of the assistant."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from inventory_api.application.images import media_type_of
from inventory_api.domain.gate import Action
from resilience_runtime import Problem

from .rendering import availability_out, render, respond
from .schemas import AssistantOut, QuestionIn
from .services import Serving, admitted

router = APIRouter(prefix="/v1", tags=["media and assistant"])
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
_BINARY = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES}


@router.put(
    "/skus/{sku}/image",
    status_code=204,
    dependencies=[Depends(admitted(Action.WRITE_IMAGE))],
    openapi_extra={"requestBody": {"required": True, "content": _BINARY}},
)
async def keep_image(request: Request, services: Serving, sku: str) -> Response:
    """Keep a SKU's image: PNG, JPEG or WebP, one mebibyte at most."""
    content = await request.body()
    media_type = media_type_of(content)
    if media_type is None:
        raise Problem(415, "unsupported_image", "the content is no PNG, JPEG or WebP image")
    reading = await services.stock.one(sku)
    etag = await services.images.keep(reading.stock.sku, content, media_type)
    return Response(status_code=204, headers={"ETag": etag})


@router.get(
    "/skus/{sku}/image",
    dependencies=[Depends(admitted(Action.READ_IMAGE))],
    response_class=Response,
    responses={
        200: {"content": {**_BINARY, "image/svg+xml": {}}, "description": "an SVG stands in when needed"}
    },
)
async def show_image(request: Request, services: Serving, sku: str) -> Response:
    """Show a SKU's image, or a placeholder while the store is away."""
    image = await services.images.show(sku)
    headers = {"X-Content-Type-Options": "nosniff"}
    if image.etag is None:
        headers |= {"Cache-Control": "no-store", "Image-Placeholder": "?1"}
    else:
        headers |= {"Cache-Control": "max-age=300", "ETag": image.etag}
        if request.headers.get("if-none-match") == image.etag:
            return Response(status_code=304, headers=headers)
    return Response(image.content, headers=headers, media_type=image.media_type)


@router.post("/assistant", response_model=AssistantOut, dependencies=[Depends(admitted(Action.ASSIST))])
async def ask(services: Serving, body: QuestionIn) -> Response:
    """Answer a question about stock; in plain figures when no model answers."""
    reply = await services.assistant.answer(body.question, body.skus)
    source = "model" if reply.by_model else "rules"
    figures = [availability_out(reading) for reading in reply.figures]
    return respond(render(AssistantOut(answer=reply.text, source=source, figures=figures)))
