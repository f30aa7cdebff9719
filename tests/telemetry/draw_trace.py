"""Draw the documentation's trace: `python tests/telemetry/draw_trace.py REPOSITORY`, built of the demonstration.

One `/score` request with two images by URL, as the real collector got it. Writes `docs/trace.svg`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from html import escape
from pathlib import Path
from secrets import token_hex

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from gateway_process import running_gateway
from scripted_site import answer, scripted_site
from trace_collector import CollectedSpan, running_collector
from triton_server import serving
from vfnet_client.atomic_files import write_whole
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE

_ROW, _BAR, _NAMES, _TIMES, _FIGURES = 18, 11, 330, 560, 90
"""Pixels: a row and its bar; columns for names, bars and figures."""
_MARGIN = 12
_COLOURS = {"vfnet-gateway": "#2f6f9f", "vfnet-triton": "#7a8794", "steps": "#c2571a"}
_WARM_UP, _TRACED = 3, 3
"""Requests; one that Triton has traced is drawn."""
_SENT_AFTER_S = 8.0
"""Triton sends its spans every five seconds."""


def main() -> None:
    """Serve, ask, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("repository", type=Path, help="what vfnet build wrote")
    parser.add_argument(
        "--output", type=Path, default=Path("docs/trace.svg"), help="where to write (default: %(default)s)"
    )
    arguments = parser.parse_args()
    spans = asyncio.run(_collected(arguments.repository))
    write_whole(arguments.output, drawing(spans).encode())
    print(f"{arguments.output}: {len(spans)} spans")


async def _collected(repository: Path) -> list[CollectedSpan]:
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        with (
            running_collector(folder) as collector,
            serving(repository, folder, f"--otlp={collector.url}") as server,
            running_gateway(
                server.grpc_url, folder, f"--otlp={collector.url}", "--allow-urls-to=127.0.0.1", "--trace-share=0"
            ) as gateway,
        ):
            async with scripted_site({"/a.png": answer(SAMPLE_PICTURE.read_bytes())}) as site:
                body = {"input_data": {"columns": ["image"], "data": [site.url("/a.png")] * 2}}
                asked = [token_hex(16) for _ in range(_TRACED)]
                sent = [{"traceparent": f"00-{trace_id}-{token_hex(8)}-01"} for trace_id in asked]
                async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
                    for headers in [*[{}] * _WARM_UP, *sent]:
                        (await client.post(f"{gateway.address}/score", json=body, headers=headers)).raise_for_status()
            await asyncio.sleep(_SENT_AFTER_S)
            for trace_id in asked:
                trace = [span for span in collector.spans if span.trace_id == trace_id]
                if sum(span.name == "InferRequest" for span in trace) == 2:
                    return trace
            raise SystemExit(f"Triton has traced none of {_TRACED} requests whole: see tests/telemetry/test_traces.py")


def drawing(spans: list[CollectedSpan]) -> str:
    """An SVG: a row for each span, below the one that it is a part of; time from left to right."""
    by_parent: dict[str, list[CollectedSpan]] = {}
    ids = {span.span_id for span in spans}
    for span in sorted(spans, key=lambda each: (each.started, -each.ended)):
        by_parent.setdefault(span.parent_id if span.parent_id in ids else "", []).append(span)
    rows = list[tuple[int, CollectedSpan]]()

    def add(parent: str, depth: int) -> None:
        for span in by_parent.get(parent, []):
            rows.append((depth, span))
            add(span.span_id, depth + 1)

    add("", 0)
    begun = min(span.started for span in spans)
    scale = _TIMES / (max(span.ended for span in spans) - begun)
    width = 2 * _MARGIN + _NAMES + _TIMES + _FIGURES
    height = 2 * _MARGIN + _ROW * (len(rows) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img">',
        "<title>One /score request with two images by URL, as the collector got it</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (depth, span) in enumerate(rows):
        top = _MARGIN + number * _ROW
        kind = "steps" if _is_of_a_model(span, spans) else span.service
        left = _MARGIN + _NAMES + scale * (span.started - begun)
        length = max(1.5, scale * (span.ended - span.started))
        if number % 2:
            parts.append(f'<rect x="0" y="{top}" width="{width}" height="{_ROW}" fill="#f4f6f8"/>')
        parts.append(f'<text x="{_MARGIN + 11 * depth}" y="{top + 13}" fill="#1c2329">{escape(_named(span))}</text>')
        parts.append(
            f'<rect x="{left:.1f}" y="{top + (_ROW - _BAR) // 2}" width="{length:.1f}" height="{_BAR}" rx="1.5" '
            f'fill="{_COLOURS[kind]}"/>'
        )
        milliseconds = (span.ended - span.started) / 1e6
        figure = f"{milliseconds:.1f} ms" if milliseconds >= 0.1 else f"{1000 * milliseconds:.0f} µs"
        right = width - _MARGIN
        parts.append(f'<text x="{right}" y="{top + 13}" text-anchor="end" fill="#1c2329">{figure}</text>')
    top = _MARGIN + len(rows) * _ROW
    legend = {"vfnet-gateway": "gateway", "vfnet-triton": "Triton", "steps": "inside the Python models"}
    for place, (kind, told) in enumerate(legend.items()):
        left = _MARGIN + _NAMES + 150 * place
        parts.append(f'<rect x="{left}" y="{top + 5}" width="12" height="{_BAR}" rx="1.5" fill="{_COLOURS[kind]}"/>')
        parts.append(f'<text x="{left + 18}" y="{top + 15}" fill="#1c2329">{told}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _is_of_a_model(span: CollectedSpan, spans: list[CollectedSpan]) -> bool:
    parent = next((each for each in spans if each.span_id == span.parent_id), None)
    return any(each is not None and each.name.startswith("steps of ") for each in (span, parent))


def _named(span: CollectedSpan) -> str:
    index = span.attributes.get("vfnet.image.index")
    return span.name if index is None else f"{span.name} {index}"


if __name__ == "__main__":
    main()
