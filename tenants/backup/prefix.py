"""The prefix of everything the platform stores for itself."""

PREFIX = "_backups"
