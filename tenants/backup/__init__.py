"""Backups of one tenant: taken from one snapshot, checked as a whole before anything is touched, restored alone."""
