"""What a store does, as OpenTelemetry and Prometheus see it."""
