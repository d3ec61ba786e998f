"""How the platform shows how it stands: probes, metrics, logs of requests, traces, reports of errors."""
