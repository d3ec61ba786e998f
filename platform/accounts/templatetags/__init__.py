"""What templates of signing in ask for."""
