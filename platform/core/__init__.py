"""What every app stands on and nothing of ours: tenancy, storage, errors, settings from the environment."""
