"""The one loop, and a strategy for what happens when a ban is hit."""
