"""What `rowhouse doctor` looks at; `findings` alone can be imported before the settings are read."""
