"""Results: tables in Markdown, and a page to look at in a browser."""
