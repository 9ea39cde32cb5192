"""Recommended starts: training them, and measuring what the recommendation is worth."""
