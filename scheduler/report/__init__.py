"""From frozen values to text, JSON and Markdown: pure, no store and no clock."""
