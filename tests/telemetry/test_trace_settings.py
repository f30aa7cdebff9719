"""When traces are exported, where to, and what of a caller's words they hold: without a server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vfnet_client.trace_context import checked_trace_headers, client_span, is_unsampled, trace_headers
from vfnet_runtime.span_export import reason_for_spans, traces_url

HEADER = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@pytest.mark.parametrize(
    ("given", "variables", "expected"),
    [
        (None, {}, None),
        ("http://otel:4318", {}, "http://otel:4318/v1/traces"),
        ("https://otel.example/prefix/", {}, "https://otel.example/prefix/v1/traces"),
        ("http://otel:4318/v1/traces", {}, "http://otel:4318/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}, "http://otel:4318/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://otel:4318/elsewhere"}, "http://otel:4318/elsewhere"),
        ("http://mine:1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"}, "http://mine:1/v1/traces"),
        ("http://mine:1", {"OTEL_SDK_DISABLED": "true"}, None),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_the_option_comes_before_opentelemetrys_variables(
    given: str | None, variables: dict[str, str], expected: str | None
) -> None:
    assert traces_url(given, variables) == expected


@pytest.mark.parametrize("url", ["otel:4318", "grpc://otel:4317", "http://", "http://a b", "http://otel:0"])
def test_what_is_no_address_is_said_with_where_it_stands(url: str) -> None:
    with pytest.raises(ValueError, match="--otlp must be a collector's address"):
        traces_url(url, {})
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_ENDPOINT must be"):
        traces_url(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": url})


def test_a_key_in_the_address_is_refused() -> None:
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_HEADERS") as told:
        traces_url("http://me:secret@otel:4318", {})
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "told",
    [
        "not an image in a known format (8 bytes that begin with b'secret')",
        "cannot reach https://host/secret.png?key=secret",
        'no file "secret.jpg"',
        'begins with b"secret\'s"',
        "broken: b'secret",
    ],
)
def test_reasons_in_spans_hold_nothing_that_was_sent(told: str) -> None:
    assert "secret" not in reason_for_spans(told)
    assert reason_for_spans(told)[:4] == told[:4]


def test_a_reason_in_a_span_is_short() -> None:
    assert len(reason_for_spans("x" * 5000)) <= 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"traceparent": HEADER}, {"traceparent": HEADER}),
        ({"traceparent": HEADER, "tracestate": "a=b"}, {"traceparent": HEADER, "tracestate": "a=b"}),
        ({"traceparent": HEADER, "tracestate": "a=" + "b" * 600}, {"traceparent": HEADER}),
        ({"traceparent": HEADER, "tracestate": "a=\n"}, {"traceparent": HEADER}),
        ({"traceparent": HEADER.upper()}, {}),
        ({"traceparent": HEADER + "-more"}, {}),
        ({"traceparent": "00-" + "0" * 32 + "-" + "1" * 16 + "-01"}, {}),
        ({"tracestate": "a=b"}, {}),
    ],
)
def test_of_a_callers_headers_only_what_is_a_trace_goes_on(headers: dict[str, str], expected: dict[str, str]) -> None:
    assert checked_trace_headers(headers) == expected


def test_spans_of_the_application_are_told_to_the_server_if_they_are_sampled() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    assert trace_headers() == {}
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("work") as span:
        context = span.get_span_context()
        expected = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        assert trace_headers() == {"traceparent": expected}
    with TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test").start_as_current_span("work"):
        headers = trace_headers()
        assert "traceparent" not in headers  # Triton would take it for sampled
        assert is_unsampled(headers)


@pytest.mark.parametrize(
    "code",
    [
        "import vfnet_gateway.application as a; from vfnet_gateway.settings import GatewaySettings; "
        "a.Gateway(GatewaySettings())",
        "import vfnet_serve.serving, vfnet_serve.trace_export as t; assert t.TraceExport.chosen(None, {}) is None",
        "import vfnet_client.client as c; c.VFNetClient().close()",
        "import vfnet_runtime.span_export, vfnet_runtime.step_times",
    ],
)
def test_nothing_of_opentelemetry_is_imported_unless_asked(code: str) -> None:
    check = "; import sys; assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_opentelemetry_a_model_says_so_once_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the gateway that was told to export refuses to start, with what to install."""
    code = """
import sys, types
sys.modules["opentelemetry"] = None
said = []
log = types.SimpleNamespace(log_warn=said.append)
sys.modules["triton_python_backend_utils"] = types.SimpleNamespace(Logger=log)
from vfnet_runtime.step_times import StepTimes
from vfnet_runtime.triton_models.step_spans import export_spans
times = StepTimes("vfnet_preprocess")
assert export_spans(times) is None
assert times.listeners == [] and len(said) == 1 and "opentelemetry-sdk" in said[0], said
from vfnet_client.exceptions import CommandError
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.tracing import open_tracing
try:
    open_tracing(GatewaySettings(otlp="http://127.0.0.1:9"), print)
except CommandError as error:
    assert "pip install" in str(error), error
else:
    raise AssertionError("it started")
"""
    monkeypatch.setenv("VFNET_TRACES_URL", "http://127.0.0.1:9/v1/traces")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_trace_the_clients_span_is_nothing() -> None:
    with client_span("work"):
        pass
