"""The migrations of the example app as newer code would have them: what is measured is getting there."""
