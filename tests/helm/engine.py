"""The chart in the real Helm engine: linted, rendered, packed; no binary and no cluster."""
