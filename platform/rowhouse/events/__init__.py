"""The log as people see it: search it, look at an event, download it, and say where it is sent to."""
