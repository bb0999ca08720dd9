"""Traces for OpenTelemetry: spans of requests and of the start, sent to a collector by OTLP over HTTP, encoded as JSON.

Imported only if an endpoint is set (docs/decisions/0046).
"""
