"""Ratios against peers and floors; each program makes its own data and prints one JSON object last."""
